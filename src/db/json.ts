import { visit } from 'jsonc-parser';

/**
 * What a JSON text says, names with escapes as well. `JSON.parse` of Node 23 to 25, and of 26 at first, takes such a name
 * for another when an object before had that one in its place: after `{"a":1,"\\":2}` it reads the `"\n"` of
 * `{"a":1,"\n":2}` as a backslash (nodejs/node#63785). So another parser reads it, which takes longer, and calls itself
 * for each level: `inspect` may refuse the text before.
 * @throws {SyntaxError}
 */
export function readJson(text: string, inspect?: () => void): unknown {
  const value: unknown = JSON.parse(text);
  if (!hasEscapedName(text)) return value;
  inspect?.();
  return readClosely(text);
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

/** Not the parser's own way to make values, which takes `__proto__` for what it is not. */
function readClosely(text: string): unknown {
  let whole: unknown;
  const open: { value: object; name: string }[] = [];
  const put = (value: unknown) => {
    const holder = open.at(-1);
    if (holder === undefined) whole = value;
    else if (Array.isArray(holder.value)) holder.value.push(value);
    else {
      const member = { value, writable: true, enumerable: true, configurable: true };
      Object.defineProperty(holder.value, holder.name, member);
    }
  };
  const begin = (value: object) => {
    put(value);
    open.push({ value, name: '' });
  };
  const end = () => {
    open.pop();
  };
  visit(text, {
    onObjectBegin: () => begin({}),
    onObjectProperty(name) {
      const holder = open.at(-1);
      if (holder !== undefined) holder.name = name;
    },
    onObjectEnd: end,
    onArrayBegin: () => begin([]),
    onArrayEnd: end,
    onLiteralValue: put,
  });
  return whole;
}
