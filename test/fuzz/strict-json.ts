/** Why a text is no JSON, or none that can be kept as it is. */
export class NotKept extends Error {}

/** As in the service: objects and arrays within one another. */
const MAX_DEPTH = 32;
/** Sticky: each begins where the last one ended. */
const TOKENS = {
  space: /[ \t\n\r]*/y,
  string: /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y,
  number: /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y,
  word: /true|false|null/y,
};

/**
 * Reads JSON by a way of its own, to hold the service's reading to: every name once, every number as written, every
 * character whole. It is slow and does not care.
 * @throws {NotKept}
 */
export function readStrictly(bytes: Buffer): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new NotKept('no UTF-8');
  }
  let at = 0;
  const take = (kind: keyof typeof TOKENS): string | undefined => {
    const token = TOKENS[kind];
    token.lastIndex = at;
    const found = token.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  const takeMark = (mark: string): boolean => {
    take('space');
    if (text[at] !== mark) return false;
    at++;
    return true;
  };
  const need = (mark: string) => {
    if (!takeMark(mark)) throw new NotKept(`no ${mark} at ${at}`);
  };
  const readString = (): string => {
    take('space');
    const written = take('string');
    if (written === undefined) throw new NotKept(`no string at ${at}`);
    const value: string = JSON.parse(written);
    if (value.includes('\0') || !value.isWellFormed()) throw new NotKept('NUL or half a pair');
    return value;
  };
  const read = (depth: number): unknown => {
    take('space');
    if (text[at] === '"') return readString();
    const isObject = takeMark('{');
    if (isObject || takeMark('[')) {
      if (depth === MAX_DEPTH) throw new NotKept('too deep');
      return isObject ? readMembers(depth) : readItems(depth);
    }
    const number = take('number');
    if (number !== undefined) return exactly(number);
    const word = take('word');
    if (word === undefined) throw new NotKept(`no value at ${at}`);
    return word === 'null' ? null : word === 'true';
  };
  const readItems = (depth: number): unknown[] => {
    const items: unknown[] = [];
    if (takeMark(']')) return items;
    do items.push(read(depth + 1));
    while (takeMark(','));
    need(']');
    return items;
  };
  const readMembers = (depth: number): object => {
    const members = new Map<string, unknown>();
    if (takeMark('}')) return {};
    do {
      const name = readString();
      if (members.has(name) || name === '__proto__') throw new NotKept(`${name} twice, or not to be`);
      need(':');
      members.set(name, read(depth + 1));
    } while (takeMark(','));
    need('}');
    return Object.fromEntries(members);
  };
  const value = read(0);
  take('space');
  if (at < text.length) throw new NotKept(`more at ${at}`);
  return value;
}

/** The number, if what a double gives back as text is the same decimal; of -0 it is 0. */
function exactly(written: string): number {
  const value = Number(written);
  if (!Number.isFinite(value) || decimalOf(written) !== decimalOf(String(value))) {
    throw new NotKept(`${written} is no double`);
  }
  if (Object.is(value, -0)) throw new NotKept(`${written} is 0`);
  return value;
}

/** `[digits, power of ten]` as text, with no zeros at either end of the digits. */
function decimalOf(written: string): string {
  const [mantissa = '', exponent = '0'] = written.toLowerCase().split('e');
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.');
  const digits = `${whole}${fraction}`;
  const kept = digits.replace(/0+$/, '');
  const power = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - kept.length);
  const bare = kept.replace(/^0+/, '');
  return bare === '' ? '0' : `${written.startsWith('-') ? '-' : ''}${bare}e${power}`;
}
