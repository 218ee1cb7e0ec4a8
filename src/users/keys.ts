import { domainToASCII } from 'node:url';

/**
 * What names and emails are compared by, on both databases alike. Unicode normalisation form C and lower case, so
 * that neither letter case nor the way an accent is typed makes two people of one.
 */
export function nameKey(name: string): string {
  return fold(name);
}

/** The local part folded like a name, the domain in its ASCII form (UTS 46). `email` must be valid. */
export function emailKey(email: string): string {
  const at = email.lastIndexOf('@');
  return `${fold(email.slice(0, at))}@${asciiDomain(email.slice(at + 1))}`;
}

/** What a search looks through: name and email as they are spelled, folded. No search goes across the line end. */
export function searchKey(name: string, email: string): string {
  return `${fold(name)}\n${fold(email)}`;
}

/** What is searched for, folded like what is searched through. */
export function searchTerm(q: string): string {
  return fold(q);
}

/**
 * Whether `email` is an address: RFC 5321 §4.1.2 `Dot-string "@" Domain` with the letters of RFC 6531 §3.3. Quoted
 * local parts (`"a b"@x.org`) and address literals (`a@[192.0.2.1]`) are not accepted, as in HTML's email field.
 * The length of the whole is a rule of the schema.
 */
export function isEmail(email: string): boolean {
  const at = email.lastIndexOf('@');
  const local = email.slice(0, at);
  return (
    at > 0 &&
    LOCAL_PART.test(local) &&
    Buffer.byteLength(local) <= 64 &&
    asciiDomain(email.slice(at + 1)) !== ''
  );
}

function fold(text: string): string {
  return text.normalize('NFC').toLowerCase().normalize('NFC');
}

/** Dot-separated atoms of RFC 5322 `atext` or any letter beyond ASCII that can be seen: no control, format or space. */
const LOCAL_PART =
  /^(?:[\w!#$%&'*+/=?^`{|}~-]|[^\p{ASCII}\p{C}\p{Z}])+(?:\.(?:[\w!#$%&'*+/=?^`{|}~-]|[^\p{ASCII}\p{C}\p{Z}])+)*$/u;

/** Labels of letters, digits and inner hyphens, the last not all digits (RFC 1123 §2.1). */
const DOMAIN =
  /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*(?!\d+$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** Only such text may go to `domainToASCII`, which reads a URL's host: it would decode `%41` and cut at `/`. */
const UNICODE_DOMAIN = /^(?:[a-z0-9.-]|[^\p{ASCII}\p{C}\p{Z}])+$/iu;

function asciiDomain(domain: string): string {
  const lower = domain.toLowerCase();
  if (DOMAIN.test(lower)) return lower;
  const ascii = UNICODE_DOMAIN.test(domain) ? domainToASCII(domain) : '';
  return DOMAIN.test(ascii) ? ascii : '';
}
