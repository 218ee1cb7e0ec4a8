import { isUtf8 } from 'node:buffer';
import type { FastifyReply } from 'fastify';
import { type ParseErrorCode, printParseErrorCode, visit } from 'jsonc-parser';
import { readJson } from '../db/json.ts';
import { type Fault, Malformed } from '../errors.ts';

/** Objects and arrays within one another, the outermost included. */
export const MAX_DEPTH = 32;

/**
 * Parses JSON so that nothing is lost or silently changed on the way in: I-JSON (RFC 7493), which refuses what
 * `JSON.parse` mends or forgets — a name given twice (§2.3), a number that a double cannot hold (§2.2), a lone
 * surrogate and bytes that are no UTF-8 (§2.1) — and also NUL, which no database keeps, -0, which is written as 0,
 * `__proto__` as a name, and nesting deeper than 32. `depth` is less than that for what is to stand within something else.
 * @throws {Malformed} saying where
 */
export function parseJson(bytes: Buffer, depth = MAX_DEPTH): unknown {
  if (!isUtf8(bytes)) throw new Malformed('invalid-json', 'The body is not valid UTF-8 (RFC 8259 §8.1).');
  const text = bytes.toString('utf8');
  let value: unknown;
  try {
    value = readJson(text, () => inspect(text, depth));
  } catch (error) {
    inspect(text, depth);
    throw error;
  }
  if (!isPlain(text, value, depth)) inspect(text, depth);
  return value;
}

/**
 * Whether `text`, which is JSON for `value`, needs no closer look: only an escape makes NUL or half a surrogate pair, and
 * of a name that is given twice the value has but one. A `gather` of a thousand tasks was looked at closely for 2 to 10
 * ms, in which the event loop stands still; this takes 0.5.
 */
function isPlain(text: string, value: unknown, depth: number): boolean {
  if (text.includes('\\u') || text.includes('__proto__')) return false;
  let names = 0;
  let digits = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (inString) {
      if (code === BACKSLASH) at++;
      else if (code === QUOTE) inString = false;
      continue;
    }
    if (digits > 0 && (code === SMALL_E || code === LARGE_E)) return false;
    digits = code >= MINUS && code <= NINE ? digits + 1 : 0;
    if (digits > SAFE_DIGITS) return false;
    if (code === QUOTE) inString = true;
    if (code === COLON) names++;
  }
  return names === countNames(value, depth);
}

const [QUOTE, BACKSLASH, COLON, MINUS, NINE, SMALL_E, LARGE_E] = [0x22, 0x5c, 0x3a, 0x2d, 0x39, 0x65, 0x45];

/** NaN for what is nested deeper, and for -0. */
function countNames(value: unknown, depth: number): number {
  if (typeof value !== 'object' || value === null) return Object.is(value, -0) ? Number.NaN : 0;
  if (depth === 0) return Number.NaN;
  const members: unknown[] = Array.isArray(value) ? value : Object.values(value);
  let names = Array.isArray(value) ? 0 : members.length;
  for (const member of members) names += countNames(member, depth - 1);
  return names;
}

/** The path of where the reader stands, as a function: making it costs, and only a refusal needs it. */
type Path = () => (string | number)[];

function inspect(text: string, mostDepth: number): void {
  const names: Set<string>[] = [];
  let depth = 0;
  const enter = (line: number, character: number) => {
    depth++;
    if (depth > mostDepth) throw brokenAt(line, character, `nested deeper than ${mostDepth}`);
  };
  const checkText = (value: string, path: Path) => {
    if (value.includes('\0')) throw refused(path, 'holds the character NUL (U+0000)');
    if (!value.isWellFormed()) throw refused(path, 'holds half a surrogate pair');
  };
  visit(
    text,
    {
      onObjectBegin(_offset, _length, line, character) {
        enter(line, character);
        names.push(new Set());
      },
      onObjectEnd() {
        depth--;
        names.pop();
      },
      onArrayBegin: (_offset, _length, line, character) => enter(line, character),
      onArrayEnd() {
        depth--;
      },
      onObjectProperty(name, _offset, _length, _line, _character, parent) {
        const path = () => [...parent(), name];
        checkText(name, path);
        if (name === '__proto__') throw refused(path, 'is not allowed as a name');
        const seen = names.at(-1);
        if (seen?.has(name)) throw refused(path, 'is given twice');
        seen?.add(name);
      },
      onLiteralValue(value, offset, length, _line, _character, path) {
        if (typeof value === 'string') checkText(value, path);
        if (typeof value !== 'number') return;
        if (!survives(text.slice(offset, offset + length), value))
          throw refused(path, 'is a number that a 64-bit float cannot hold: send it as a string');
        if (Object.is(value, -0)) throw refused(path, 'is -0, which would become 0');
      },
      onError(code, offset, length, line, character) {
        throw brokenAt(line, character, whatIsWrong(code, text.slice(offset, offset + length)));
      },
    },
    { disallowComments: true, allowTrailingComma: false },
  );
}

function brokenAt(line: number, character: number, what: string): Malformed {
  return new Malformed(
    'invalid-json',
    `The body is not JSON at line ${line + 1}, column ${character + 1}: ${what}.`,
  );
}

function refused(path: Path, detail: string): Malformed {
  const fault: Fault = { in: 'body', pointer: toPointer(path()), detail };
  return new Malformed('invalid-json', 'The body holds what would not survive being read.', [fault]);
}

/** RFC 6901 §6: a JSON Pointer as a URI fragment. */
export function toPointer(path: readonly (string | number)[]): string {
  const escaped = path.map((part) => String(part).toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1'));
  return `#${escaped.map((part) => `/${encodeURIComponent(part)}`).join('')}`;
}

/** A double holds any number of so many, without an exponent. */
const SAFE_DIGITS = 15;

/** Whether the number as written survives as a double: `1.50` and `0.1` do, `9007199254740993` and `1e999` do not. */
function survives(written: string, value: number): boolean {
  if (written.length <= SAFE_DIGITS && !/e/i.test(written)) return true;
  return Number.isFinite(value) && normalise(written) === normalise(String(value));
}

/** Digits without outer zeros, and the power of ten of the last of them. */
function normalise(decimal: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(decimal) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return '0';
  return `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`;
}

function whatIsWrong(code: ParseErrorCode, found: string): string {
  const name = printParseErrorCode(code);
  const at = shownAt(found.slice(0, 20));
  return PARSE_ERRORS[name]?.replace('%', () => at) ?? `${at} is unexpected`;
}

function shownAt(found: string): string {
  if (found === '') return 'the end';
  // A byte order mark, or a space that was copied from a page: in quotes nobody would see it.
  if (/^[\p{C}\p{Z}]/u.test(found)) {
    return `the invisible character U+${found.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`;
  }
  return found.startsWith('"') ? found : `"${found}"`;
}

const PARSE_ERRORS: Record<string, string> = {
  InvalidSymbol: '% is not JSON',
  InvalidNumberFormat: '% is not a number',
  PropertyNameExpected: 'a name in double quotes is expected, not %',
  ValueExpected: 'a value is expected, not %',
  ColonExpected: 'a colon is expected, not %',
  CommaExpected: 'a comma is expected, not %',
  CloseBraceExpected: 'a closing brace is expected, not %',
  CloseBracketExpected: 'a closing bracket is expected, not %',
  EndOfFileExpected: 'the end is expected, not %',
  InvalidCommentToken: 'comments are not JSON',
  UnexpectedEndOfString: 'the string that begins here does not end',
  UnexpectedEndOfNumber: 'the number that begins here does not end',
  InvalidUnicode: 'a \\u escape needs four hexadecimal digits',
  InvalidEscapeCharacter: 'the string that begins here has an unknown escape',
  InvalidCharacter: 'the string that begins here has a control character that is not escaped',
};

/** Answers with what is JSON already. */
export function sendJson(reply: FastifyReply, json: string) {
  return reply.type('application/json; charset=utf-8').send(json as never);
}
