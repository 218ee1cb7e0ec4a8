import { parse } from 'jsonc-parser';

/**
 * What a JSON text says, names with escapes as well. `JSON.parse` of Node 22 to 26 takes such a name for another when an
 * object before had that one in its place: after `{"a":1,"\\":2}` it reads the `"\n"` of `{"a":1,"\n":2}` as a
 * backslash (nodejs/node#63785). Then another parser reads it, which takes longer, and calls itself for each level:
 * `inspect` may refuse the text before.
 * @throws {SyntaxError}
 */
export function readJson(text: string, inspect?: () => void): unknown {
  const value: unknown = JSON.parse(text);
  if (!hasEscapedName(text)) return value;
  inspect?.();
  return parse(text);
}

/** From within a string to its end, and the colon that follows when it was a name. */
const REST = /[^"\\]*(?:\\.[^"\\]*)*"[ \t\r\n]*(:?)/y;

/** Of text that is JSON. */
function hasEscapedName(text: string): boolean {
  for (let at = text.indexOf('\\'); at >= 0; at = text.indexOf('\\', REST.lastIndex)) {
    REST.lastIndex = at;
    if (REST.exec(text)?.[1] !== '') return true;
  }
  return false;
}
