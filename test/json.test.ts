import fc from 'fast-check';
import t from 'tap';
import { readJson } from '../src/db/json.ts';
import { parseJson } from '../src/http/json.ts';
import { startApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';
import { importFile, NDJSON } from './support/transfers.ts';

/** Names that begin, as they are written, like a name that is only a backslash. */
const NAMES = ['\\', '"', '\n', '\\"', 'a', 'a\\', 'a"', 'a\n', '\u2028', 'é', '__proto__'];

t.test('names with escapes are read as they are, whatever was read before', (t) => {
  const name = fc.constantFrom(...NAMES);
  const value = fc.oneof(
    fc.integer(),
    fc.constantFrom('', '\\', 'a\n:', '"', '"x":1', '\\\\"'),
    fc.boolean(),
  );
  const object = fc.uniqueArray(fc.tuple(name, value), { selector: ([one]) => one, maxLength: 4 });
  fc.assert(
    fc.property(object, fc.constantFrom('', ' ', '\n'), (members, space) => {
      const text = (pairs: typeof members) =>
        `{${pairs.map((pair) => pair.map((one) => JSON.stringify(one)).join(`${space}:${space}`)).join()}}`;
      const read = readJson(`[${text(members)},{"in":${text(members)}}]`) as [object, { in: object }];
      // Not `strictSame`, whose own reading of a diff might go wrong in the same way.
      const told = ([name, value]: [string, unknown]) => `${escape(name)} ${typeof value} ${value}`;
      const wanted = members.map(told).sort();
      return [read[0], read[1].in].every(
        (one) => Object.entries(one).map(told).sort().join() === wanted.join(),
      );
    }),
    { numRuns: 20_000 },
  );
  for (const text of ['', '{"a\\n":}', '"\\', '{"a\\":1}', '{"\\x":1}'])
    t.throws(() => readJson(text), { name: 'SyntaxError' }, text);
  const deep = `{"\\n":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  t.throws(() => parseJson(Buffer.from(deep)), { message: /nested deeper than 32/ });
  t.equal(readJson(`"${'\\n:'.repeat(1_000_000)}"`), '\n:'.repeat(1_000_000));
  t.end();
});

/** The JSON of the attributes of a test: a name that is read as another would be one of these. */
const POISON = '{"a":1,"\\\\":2}';
const ATTRIBUTES = '{"a":1,"\\n":2}';

onEachDatabase('names with escapes are kept, shown, changed and copied as they are', async (t, dialect) => {
  const { request, ...app } = await startApp(t, dialect);
  const json = { 'content-type': 'application/json' };
  const bodyOf = (n: number, attributes: string) =>
    `{"name":"Ada","email":"${n}@example.com","attributes":${attributes}}`;
  const create = (n: number, attributes: string, headers = {}) =>
    request('POST', '/users', { body: bodyOf(n, attributes), headers: { ...json, ...headers } });
  for (let n = 1; n <= 3; n++) await create(n, POISON);
  const shows = (what: string, text: string, attributes = ATTRIBUTES) =>
    t.ok(text.includes(attributes.slice(1, -1)), `${what}: ${text.slice(0, 400)}`);
  const headers = { 'idempotency-key': 'once' };
  shows('as created', (await create(4, ATTRIBUTES, headers)).text);
  shows('as created, once more', (await create(4, ATTRIBUTES, headers)).text);
  shows('as kept', (await request('GET', '/users/4')).text);
  const patched = await request('PATCH', '/users/4', { body: '{"attributes":{"b":3}}', headers: json });
  const wanted = ATTRIBUTES.replace('}', ',"b":3}');
  shows('as patched', patched.text, wanted);
  shows('in the list', (await request('GET', '/users')).text, wanted);
  shows('in the log', (await request('GET', '/changes')).text);
  shows('in the past', (await request('GET', '/users/4?at=4')).text);
  const file = `${bodyOf(5, POISON)}\n${bodyOf(4, '{"\\n":4}')}\n${bodyOf(6, ATTRIBUTES)}\n`;
  await importFile({ request, ...app }, file, { type: NDJSON.type, query: 'onConflict=update' });
  shows('as imported over', (await request('GET', '/users/4')).text, '{"a":1,"\\n":4,"b":3}');
  shows('as imported', (await request('GET', '/users?email=6@example.com')).text);
  const exported = (await request('GET', '/users/export')).text;
  shows('as exported', exported, '{"a":1,"\\n":4,"b":3}');
  shows('as exported', exported.slice(exported.indexOf('6@example.com')));
});
