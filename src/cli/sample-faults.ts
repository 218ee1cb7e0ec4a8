import { domainToASCII } from 'node:url';
import { type Person, picker } from './sample-person.ts';

/** Emails of rows before, to be taken again. */
export interface Earlier {
  /** Of ASCII alone, with letters that have a case. */
  plain: string[];
  /** Other bytes when its letters come apart (Unicode normalisation form D). */
  accented: string[];
  /** A domain beyond ASCII. */
  international: string[];
}

/** What is wrong with a row, and so with the file. Other than cells: how many there are, and what no cell may hold. */
export interface Fault {
  cells?: (person: Person, earlier: Earlier, random: () => number) => Partial<Person>;
  /** Spoils the finished row, which has a cell for each column and ends in a line end. */
  row?: (row: string) => string | Buffer;
}

const name = (of: (name: string) => string): Fault => ({ cells: (person) => ({ name: of(person.name) }) });
const email = (of: (email: string) => string): Fault => ({
  cells: (person) => ({ email: of(person.email) }),
});
const local = (of: (local: string) => string) => email((given) => given.replace(/^.*(?=@)/s, of));
const domain = (bad: string) => email((given) => given.replace(/(?<=@).*$/s, bad));
const notes = (bad: string): Fault => ({ cells: () => ({ notes: bad }) });
const again = (kind: keyof Earlier, of: (email: string) => string): Fault => ({
  cells: (_, earlier, random) => ({ email: of(picker(random)(earlier[kind])) }),
});
const bytes = (...bad: number[]): Fault => ({
  cells: () => ({ name: 'Bytes \ue000' }),
  row(row) {
    const [before = '', after = ''] = row.split('\ue000');
    return Buffer.concat([Buffer.from(before), Buffer.from(bad), Buffer.from(after)]);
  },
});

/**
 * Every rule of `POST /users` broken, and every way in which a row breaks by itself. A quote that is never closed, or closed
 * too early, is not among them: where such a row ends, and so what else is lost, each reader sees in its own way.
 */
export const FAULTS = {
  'name-empty': name(() => ''),
  'email-without-at': email((given) => given.replace('@', '.')),
  'cells-too-few': { row: () => 'Too Few,too.few@example.com\n' },
  'email-taken-as-it-is': again('plain', (given) => given),
  'bytes-not-utf-8': bytes(0xc3, 0x28),
  'name-of-51-letters': name(() => 'n'.repeat(51)),
  'cells-too-many': { row: (row) => `${row.slice(0, -1)},one,more\n` },
  'email-taken-in-capitals': again('plain', (given) => given.toUpperCase()),
  'attributes-too-large': notes('n'.repeat(16_384)),
  'name-with-nul': name((given) => `${given.slice(0, 40)}\0`),
  'email-taken-in-form-d': again('accented', (given) => given.normalize('NFD')),
  'name-of-51-astral-letters': name(() => '𝒜'.repeat(51)),
  'name-with-control': name((given) => `${given.slice(0, 20)}\u0007${given.slice(20, 40)}`),
  'name-with-line-end': name((given) => `${given.slice(0, 20)}\n${given.slice(20, 40)}.`),
  'name-with-c1-control': name((given) => `${given.slice(0, 20)}\u0085.`),
  'name-of-spaces': name(() => '   '),
  'name-after-space': name((given) => ` ${given.slice(0, 40)}`),
  'name-before-space': name((given) => `${given.slice(0, 40)} `),
  'name-after-no-break-space': name((given) => `\u00a0${given.slice(0, 40)}`),
  'name-before-ideographic-space': name((given) => `${given.slice(0, 40)}\u3000`),
  'email-empty': email(() => ''),
  'email-of-101-letters': email(() => `${'e'.repeat(40)}@${'d'.repeat(52)}.example`),
  'email-without-local-part': local(() => ''),
  'email-without-domain': domain(''),
  'email-local-part-of-65-bytes': local(() => `${'é'.repeat(32)}e`),
  'email-with-two-dots': local((given) => `a..${given.slice(0, 9)}`),
  'email-dot-first': local((given) => `.${given.slice(0, 20)}`),
  'email-dot-last': local((given) => `${given.slice(0, 20)}.`),
  'email-with-space': local((given) => `a ${given.slice(0, 20)}`),
  'email-after-space': email((given) => ` ${given.slice(0, 60)}`),
  'email-with-two-ats': local((given) => `${given.slice(0, 20)}@home`),
  'email-quoted-local-part': local(() => '"quoted local part"'),
  'email-with-name': email((given) => `Somebody <${given}>`),
  'email-with-invisible-letter': local((given) => `${given.slice(0, 10)}\u200b`),
  'email-domain-literal': domain('[192.0.2.1]'),
  'email-domain-of-digits': domain('192.0.2.1'),
  'email-domain-hyphen-first': domain('-example.com'),
  'email-domain-with-underscore': domain('my_example.com'),
  'email-domain-two-dots': domain('example..com'),
  'email-domain-dot-last': domain('example.com.'),
  'email-domain-label-of-64-letters': domain(`${'d'.repeat(64)}.org`),
  'email-taken-in-ascii': again('international', (given) => given.replace(/(?<=@).*$/, domainToASCII)),
  'attributes-too-large-in-bytes': notes('好'.repeat(5461)),
  'attributes-with-nul': notes('up to here\0and on'),
  'bytes-latin-1': bytes(0x52, 0x65, 0x6e, 0xe9, 0x20),
  'bytes-cut-off': bytes(0xf0, 0x9f, 0x98),
  'bytes-overlong': bytes(0xc0, 0xaf),
  'bytes-of-a-surrogate': bytes(0xed, 0xa0, 0x80),
  'quote-in-a-bare-cell': { row: () => 'Bare "Quote" Bare,bare@example.com,,,,\n' },
} as const satisfies Record<string, Fault>;

/** Why a row is refused. Whether one that begins with `email-taken` is refused, an import's `onConflict` says. */
export type Broken = keyof typeof FAULTS;
