import fc, { type Arbitrary } from 'fast-check';
import { JSON_TEXTS, STRINGS } from './nasty.ts';
import { anyJson } from './values.ts';

/** A change to a value or its text, as data: what shrinks can be printed and done again. */
export type Edit =
  | {
      on: 'value';
      how: 'replace' | 'retype' | 'remove' | 'add' | 'wrap' | 'rename';
      at: number;
      value: unknown;
      name: string;
    }
  | {
      on: 'text';
      how: 'cut' | 'insert' | 'swap' | 'double' | 'bytes' | 'spaces' | 'escape' | 'repeat';
      at: number;
      text: string;
    };

const valueEdit: Arbitrary<Edit> = fc.record({
  on: fc.constant('value'),
  how: fc.constantFrom('replace', 'retype', 'retype', 'remove', 'add', 'wrap', 'rename'),
  at: fc.nat(1000),
  value: anyJson,
  name: fc.constantFrom('extra', 'id', 'version', '__proto__', 'constructor', '', ...STRINGS.slice(0, 12)),
});

const textEdit: Arbitrary<Edit> = fc.record({
  on: fc.constant('text'),
  how: fc.constantFrom('cut', 'insert', 'swap', 'swap', 'double', 'bytes', 'spaces', 'escape', 'repeat'),
  at: fc.nat(1000),
  text: fc.constantFrom(...JSON_TEXTS),
});

export const edits = fc.array(fc.oneof(valueEdit, textEdit), { minLength: 1, maxLength: 2 });

/** The body that `value` becomes, as bytes. */
export function write(value: unknown, changes: readonly Edit[] = []): Buffer {
  let edited = value;
  for (const edit of changes) if (edit.on === 'value') edited = editValue(edited, edit);
  const text = JSON.stringify(edited) ?? '';
  let bytes: Buffer = Buffer.from(text);
  for (const edit of changes) if (edit.on === 'text') bytes = editText(bytes, edit);
  return bytes;
}

type Holder = Record<string, unknown> | unknown[];

/** Every place of a value that something can be put in, outermost first. */
function placesIn(value: unknown): [holder: Holder, name: string][] {
  if (typeof value !== 'object' || value === null) return [];
  const holder = value as Holder;
  return Object.entries(value).flatMap(([name, member]) => [
    [holder, name] as [Holder, string],
    ...placesIn(member),
  ]);
}

function editValue(value: unknown, edit: Edit & { on: 'value' }): unknown {
  const copy = structuredClone(value);
  const places = placesIn(copy);
  const place = places[edit.at % (places.length + 1)];
  if (place === undefined) return edit.how === 'wrap' ? [copy] : edit.how === 'replace' ? edit.value : copy;
  const [holder, name] = place;
  const present = Reflect.get(holder, name);
  // Defined, not assigned: `__proto__` is to be a member.
  const put = (key: string, one: unknown) =>
    Object.defineProperty(holder, key, { value: one, enumerable: true, writable: true, configurable: true });
  if (edit.how === 'replace') put(name, edit.value);
  else if (edit.how === 'retype') put(name, retyped(present));
  else if (edit.how === 'wrap') put(name, [present]);
  else if (Array.isArray(holder)) holder.splice(Number(name), edit.how === 'remove' ? 1 : 0);
  else if (edit.how === 'add') put(edit.name, edit.value);
  else {
    delete holder[name];
    if (edit.how === 'rename') put(name.toUpperCase(), present);
  }
  return copy;
}

/** Almost the same: what a lenient service would take for it, and keep as something else. */
function retyped(value: unknown): unknown {
  if (typeof value === 'string') return value.length % 2 === 0 ? value.length : true;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return value === null ? '' : JSON.stringify(value);
}

function editText(bytes: Buffer, { how, at, text }: Edit & { on: 'text' }): Buffer {
  const place = bytes.length === 0 ? 0 : at % bytes.length;
  const [before, after] = [bytes.subarray(0, place), bytes.subarray(place)];
  switch (how) {
    case 'cut':
      return before;
    case 'insert':
      return Buffer.concat([before, Buffer.from(text), after]);
    case 'swap': {
      // A whole value gives way to the text: after the colon, up to the comma or the end of the object.
      const whole = bytes.toString('utf8');
      const members = [...whole.matchAll(/:("(?:[^"\\]|\\.)*"|[\d.eE+-]+|true|false|null|\{\})/g)];
      const member = members[at % Math.max(1, members.length)];
      if (member === undefined) return Buffer.from(text);
      const start = member.index + 1;
      return Buffer.from(whole.slice(0, start) + text + whole.slice(start + (member[1] ?? '').length));
    }
    case 'double': {
      const whole = bytes.toString('utf8');
      const members = [...whole.matchAll(/"(?:[^"\\]|\\.)*":(?:"(?:[^"\\]|\\.)*"|[\d.eE+-]+)/g)];
      const member = members[at % Math.max(1, members.length)];
      if (member === undefined) return Buffer.concat([bytes, bytes]);
      return Buffer.from(`${whole.slice(0, member.index)}${member[0]},${whole.slice(member.index)}`);
    }
    case 'bytes': {
      const odd = [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xef, 0xbb, 0xbf], [0], [0xf8], [0xe2, 0x82]];
      return Buffer.concat([before, Buffer.from(odd[at % odd.length] ?? []), after]);
    }
    case 'spaces':
      return Buffer.from(` \r\n\t${bytes.toString('utf8').replaceAll(':', '\t:\n ')} \n`);
    case 'escape':
      // The same text, spelled otherwise: it must be read as the same.
      return Buffer.from(bytes.toString('utf8').replace(/[a-z](?=[a-z]*@|[^"\\]*":)/g, unicodeEscape));
    case 'repeat':
      return Buffer.concat([before, Buffer.alloc((at % 4) * 90_000, 0x20), after]);
  }
}

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
