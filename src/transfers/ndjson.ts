import { MAX_DEPTH, parseJson } from '../http/json.ts';
import type { Found, RowFormat } from './rows.ts';

const LF = 10;
const CR = 13;

/** What a user has and nobody can give them, and what the list of refused rows adds: read, and not used. */
const NOT_USED = ['id', 'version', 'createdAt', 'updatedAt', 'muster-line', 'muster-reason'];

/** One JSON object on each line; empty lines are none. */
export const ndjson: RowFormat = {
  take(window, isEnd) {
    const found: Found[] = [];
    let at = 0;
    while (at < window.length) {
      const end = window.indexOf(LF, at);
      if (end < 0 && !isEnd) break;
      const to = end < 0 ? window.length : end + 1;
      const raw = withoutLineEnd(window.subarray(at, to));
      if (!isBlank(raw)) found.push({ from: at, to, raw, read: () => readLine(raw) });
      at = to;
    }
    return { found, consumed: at };
  },
  skip(window) {
    const end = window.indexOf(LF);
    return { consumed: end < 0 ? window.length : end + 1, ended: end >= 0, within: '' };
  },
};

function readLine(raw: Buffer): unknown {
  const value = parseJson(raw, MAX_DEPTH);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([name]) => !NOT_USED.includes(name)));
}

export function withoutLineEnd(bytes: Buffer): Buffer {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === LF || bytes[end - 1] === CR)) end--;
  return bytes.subarray(0, end);
}

/** White space as JSON knows it. */
function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === CR);
}
