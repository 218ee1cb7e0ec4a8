import fc, { type Arbitrary } from 'fast-check';
import { isEmail } from '../../src/users/keys.ts';
import { type Document, follow, type Schema } from './document.ts';
import { EMAILS, STRINGS, VALUES } from './nasty.ts';

/** Unions of unions end here: a `gather` may hold a `gather`. */
const MOST_UNIONS = 3;

/** Not `unit: 'binary'`, which makes a table of all of them: two seconds at each start. */
const codePoint = fc
  .oneof(fc.integer({ min: 1, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }))
  .map((code) => String.fromCodePoint(code));
const codePoints = fc.array(codePoint, { maxLength: 12 }).map((characters) => characters.join(''));
const graphemes = fc.string({ unit: 'grapheme', maxLength: 12 });
const words = fc.string({ unit: fc.constantFrom(...'abcdefghij \u00e9\u00df'), minLength: 1, maxLength: 20 });
const text = fc.oneof(
  { arbitrary: words, weight: 3 },
  { arbitrary: fc.constantFrom(...STRINGS), weight: 2 },
  graphemes,
  codePoints,
);

const label = fc.string({ unit: fc.constantFrom(...'abcdefghijklmnop0123'), minLength: 3, maxLength: 8 });
const email = fc
  .oneof(
    {
      arbitrary: fc
        .tuple(label, label, fc.constantFrom('example.com', 'B.org', 'm\u00fcnchen.de', 'x.y.z', 'localhost'))
        .map(([a, b, domain]) => `${a}.${b}@${domain}`),
      weight: 8,
    },
    { arbitrary: fc.constantFrom(...EMAILS.filter(isEmail)), weight: 1 },
    {
      arbitrary: fc.tuple(graphemes, label).map(([local, domain]) => `${local}@${domain}.net`),
      weight: 1,
    },
  )
  .filter(isEmail);

const time = fc.oneof(
  fc
    .date({
      min: new Date('0001-01-01T00:00:00Z'),
      max: new Date('9999-12-31T23:59:59Z'),
      noInvalidDate: true,
    })
    .map((date) => date.toISOString()),
  fc.constantFrom(
    '1970-01-01T00:00:00Z',
    '2024-02-29T12:00:00.123456789+05:30',
    '2026-12-31T23:59:60Z', // a leap second
    '0000-01-01T00:00:00Z',
    '0001-01-01T00:00:00+23:59',
    '9999-12-31T23:59:59-23:59',
    '2026-01-01t00:00:00z',
    '2099-01-01T00:00:00-00:00',
  ),
);

/** Any JSON value, small, with names and texts that are known to be nasty. */
export const anyJson: Arbitrary<unknown> = fc.letrec<{ value: unknown; object: Record<string, unknown> }>(
  (tie) => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom<unknown>(...VALUES),
      text,
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.array(tie('value'), { maxLength: 4 }),
      tie('object'),
    ),
    object: fc.dictionary(fc.oneof(words, fc.constantFrom(...STRINGS)), tie('value'), {
      maxKeys: 4,
      noNullPrototype: true,
    }),
  }),
).value;

const anyObject = fc.dictionary(fc.oneof(words, fc.constantFrom(...STRINGS)), anyJson, {
  maxKeys: 5,
  noNullPrototype: true,
});

/** Arbitraries of values that fit a schema of the document, or lie right at its bounds. */
export class Values {
  readonly #document: Document;

  constructor(document: Document) {
    this.#document = document;
  }

  /** Values that fit. */
  valid(given: Schema, unions = 0): Arbitrary<unknown> {
    const schema = follow(this.#document, given);
    if (schema.const !== undefined) return fc.constant(schema.const);
    if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
    const union = schema.oneOf ?? schema.anyOf;
    if (union !== undefined) {
      const within = unions < MOST_UNIONS ? union : union.slice(0, 1);
      return fc.oneof(...within.map((one) => this.valid(one, unions + 1)));
    }
    const [type, ...others] = [schema.type ?? []].flat();
    if (others.length > 0) {
      return fc.oneof(
        ...[type, ...others].map((one) => this.valid({ ...schema, type: one } as Schema, unions)),
      );
    }
    switch (type) {
      case 'string':
        return this.#string(schema);
      case 'integer':
        return integer(schema);
      case 'number':
        return fc.double({
          noNaN: true,
          noDefaultInfinity: true,
          min: schema.minimum ?? -1e9,
          max: schema.maximum ?? 1e9,
        });
      case 'boolean':
        return fc.boolean();
      case 'null':
        return fc.constant(null);
      case 'array':
        return this.#array(schema, unions);
      case 'object':
        return this.#object(schema, unions);
      default:
        return anyJson;
    }
  }

  /** Values at the very bounds, and one beyond: which of them fit, the judge says. */
  near(given: Schema): Arbitrary<unknown> {
    const schema = follow(this.#document, given);
    const union = schema.oneOf ?? schema.anyOf;
    if (union !== undefined) return fc.oneof(...union.map((one) => this.near(one)));
    const bytes = schema['x-maxBytes'];
    if (bytes !== undefined) {
      return fc
        .tuple(fc.integer({ min: -2, max: 2 }), fc.constantFrom('a', '\u00e9', '"', '\u2028', '\u{1f600}'))
        .map(([more, unit]) => {
          const size = Buffer.byteLength(JSON.stringify(unit)) - 2;
          const room = bytes + more - '{"a":""}'.length;
          return { a: unit.repeat(Math.floor(room / size)) + 'x'.repeat(room % size) };
        });
    }
    const properties = Object.entries(schema.properties ?? {});
    if (properties.length > 0) {
      return fc.oneof(
        ...properties.map(([name, property]) =>
          fc
            .tuple(this.valid(schema), this.near(property))
            .map(([whole, value]) => ({ ...(whole as object), [name]: value })),
        ),
      );
    }
    const bounds = boundsOf(schema);
    return bounds.length > 0 ? fc.constantFrom(...bounds) : this.valid(schema);
  }

  #string(schema: Schema): Arbitrary<string> {
    const { minLength = 0, maxLength = 200, pattern, format, examples = [] } = schema;
    if (format === 'idn-email') return email.filter((one) => [...one].length <= maxLength);
    if (format === 'date-time') return time;
    const fits = pattern === undefined ? () => true : (one: string) => new RegExp(pattern, 'u').test(one);
    const inBounds = (one: string) => {
      const length = [...one].length;
      return length >= minLength && length <= maxLength && fits(one);
    };
    const shown = examples.filter((one) => typeof one === 'string');
    const free = text.map((one) => (pattern === undefined ? one : one.trim())).filter(inBounds);
    const isOpen = pattern === undefined || pattern.includes('\\p{');
    const made = isOpen ? free : fc.stringMatching(new RegExp(pattern)).filter(inBounds);
    if (shown.length === 0) return made;
    return fc.oneof({ arbitrary: made, weight: 4 }, fc.constantFrom(...shown));
  }

  #array(schema: Schema, unions: number): Arbitrary<unknown> {
    const { items = {}, minItems = 0, maxItems = 1000 } = schema;
    const bounds = { minLength: minItems, maxLength: Math.max(minItems, Math.min(maxItems, 4)) };
    const item = this.valid(items, unions);
    return schema.uniqueItems ? fc.uniqueArray(item, bounds) : fc.array(item, bounds);
  }

  #object(schema: Schema, unions: number): Arbitrary<unknown> {
    const properties = Object.entries(schema.properties ?? {});
    if (properties.length === 0 && schema.additionalProperties === false) return fc.constant({});
    if (properties.length === 0) return anyObject;
    const model = Object.fromEntries(
      properties.map(([name, property]) => [name, this.valid(property, unions)]),
    );
    return fc.record(model, { requiredKeys: schema.required ?? [], noNullPrototype: true });
  }
}

function integer({ minimum = -1e9, maximum = 1e9 }: Schema): Arbitrary<number> {
  const small = { min: minimum, max: Math.min(maximum, Math.max(minimum, 0) + 50) };
  return fc.oneof(
    { arbitrary: fc.integer(small), weight: 6 },
    { arbitrary: fc.maxSafeInteger().map((one) => Math.min(Math.max(one, minimum), maximum)), weight: 1 },
    { arbitrary: fc.constantFrom(minimum, maximum), weight: 1 },
  );
}

/** An astral character is one code point, two of UTF-16 and four bytes: the unit that is counted shows. */
const UNITS = ['a', '\u00e9', '\u{1f600}', 'e\u0301'];

function boundsOf({
  type,
  minLength = 0,
  maxLength,
  minimum,
  maximum,
  format,
  ...schema
}: Schema): unknown[] {
  if (type === 'string') {
    if (format === 'idn-email') return [...EMAILS];
    if (format === 'date-time')
      return ['2026-02-30T00:00:00Z', '2026-01-01', '2026-01-01T24:00:00Z', 'now', ''];
    const lengths = [
      minLength - 1,
      minLength,
      ...(maxLength === undefined ? [] : [maxLength, maxLength + 1]),
    ];
    return [
      ...STRINGS,
      ...lengths
        .filter((length) => length >= 0)
        .flatMap((length) => UNITS.map((unit) => unit.repeat(Math.ceil(length / [...unit].length)))),
    ];
  }
  if (type === 'integer' || type === 'number') {
    const bounds = [minimum, maximum].filter((one) => one !== undefined);
    return [...bounds.flatMap((one) => [one - 1, one, one + 1, one + 0.5]), 0, 1.5, -1, '1', true, null];
  }
  if (type === 'array' && (schema.minItems ?? 0) > 0) return [[], [null], 'x', {}];
  return [];
}
