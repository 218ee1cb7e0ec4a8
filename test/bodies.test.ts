import fc from 'fast-check';
import t from 'tap';
import { Malformed } from '../src/errors.ts';
import { parseJson } from '../src/http/json.ts';
import { startApp } from './support/app.ts';

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;

/** Bodies that must not be read as something else, and where each is wrong. */
const refused: [title: string, body: string | Buffer, where: RegExp][] = [
  ['broken JSON', '{"name": "Geek, "email": "x@y.z"}', /line 1, column 18/],
  ['a broken second line', '{\n  "name": Geek\n}', /line 2, column 11/],
  ['an empty body', '', /the end/],
  ['a comment', '{"name": "A" /* Ada */}', /comments/],
  ['a trailing comma', '{"name": "A",}', /column 14/],
  ['two values', '{} {}', /column 4/],
  ['single quotes', "{'name': 'A'}", /column 2/],
  ['NaN', '{"attributes": {"n": NaN}}', /NaN/],
  ['a leading zero', '{"attributes": {"n": 01}}', /column 2/],
  ['a byte order mark', '\ufeff{"name":"A"}', /column 1/],
  ['a name given twice', '{"name": "A", "name": "B"}', /#\/name.*twice/],
  [
    'a deep name given twice',
    '{"attributes": {"a~/b": {"x": 1, "x": 1}}}',
    /#\/attributes\/a~0~1b\/x.*twice/,
  ],
  ['a name given twice by an escape', '{"name": "A", "n\\u0061me": "B"}', /#\/name.*twice/],
  ['an unsafe integer', '{"attributes": {"n": 9007199254740993}}', /#\/attributes\/n.*float/],
  ['a number too large', '{"attributes": [1e999]}', /#\/attributes\/0.*float/],
  ['a number too small', '{"attributes": {"n": 1e-999}}', /#\/attributes\/n.*float/],
  ['more digits than a float holds', '{"attributes": {"n": 0.12345678901234567890}}', /float/],
  ['minus zero', '{"attributes": {"n": [1, -0.0]}}', /#\/attributes\/n\/1.*-0/],
  ['NUL in a value', '{"name": "a\\u0000b"}', /#\/name.*NUL/],
  ['NUL in a name', '{"attributes": {"a\\u0000": 1}}', /NUL/],
  ['half a surrogate pair', '{"name": "\\ud800"}', /#\/name.*surrogate/],
  ['half a surrogate pair in a name', '{"attributes": {"\\udc00x": 1}}', /surrogate/],
  ['a raw control character', '{"name": "a\nb"}', /column 10/],
  ['__proto__', '{"attributes": {"__proto__": {"admin": true}}}', /#\/attributes\/__proto__/],
  ['nesting deeper than 32', `{"attributes": {"x": ${nested(31)}}}`, /deeper than 32/],
  ['nesting that would end the stack', nested(100_000), /deeper than 32/],
  ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), /UTF-8/],
  ['a surrogate in UTF-8', Buffer.from('7b2261223a22eda080227d', 'hex'), /UTF-8/],
  ['Latin-1', Buffer.from('{"name": "José"}', 'latin1'), /UTF-8/],
];

t.test('a body that would not survive being read is a 400 that says where', async (t) => {
  const { request } = await startApp(t, 'sqlite');
  for (const [title, body, where] of refused) {
    const answer = await request('POST', '/users', {
      body: body.length === 0 ? Buffer.alloc(0) : body,
      headers: { 'content-type': 'application/json' },
    });
    t.equal(answer.status, 400, title);
    t.match(answer.text, where, title);
    t.match(answer.headers['content-type'], /^application\/problem\+json/);
  }
  t.equal((await request('GET', '/users')).text, '[]', 'and nothing was created');
});

t.test('values of the wrong type are refused, not turned into the right one', async (t) => {
  const { request } = await startApp(t, 'sqlite');
  for (const json of [
    { name: 1, email: 'a@b.c' },
    { name: true, email: 'a@b.c' },
    { name: ['A'], email: 'a@b.c' },
    { name: null, email: 'a@b.c' },
    { name: 'A', email: null },
    { name: 'A', email: 'a@b.c', attributes: null },
    { name: 'A', email: 'a@b.c', attributes: '{}' },
    { name: 'A', email: 'a@b.c', admin: true },
    { name: 'A', email: 'a@b.c', id: 7 },
    [{ name: 'A', email: 'a@b.c' }],
    'A',
    null,
    { name: ' A', email: 'a@b.c' },
    { name: 'A\u00a0', email: 'a@b.c' },
    { name: 'A\u0085B', email: 'a@b.c' },
    { name: 'A\tB', email: 'a@b.c' },
    { name: 'A', email: `${'a'.repeat(60)}@${'b'.repeat(40)}.c` },
    { name: 'A', email: 'a@b.c', attributes: { big: 'é'.repeat(8200) } },
  ]) {
    const answer = await request('POST', '/users', { json });
    t.equal(answer.status, 422, JSON.stringify(json).slice(0, 60));
    t.match(answer.json(), { type: /invalid-body/, errors: [{ in: 'body', detail: String }] });
  }
  t.equal((await request('GET', '/users')).text, '[]');
});

t.test('a body of the wrong kind or size is refused before it is read', async (t) => {
  const { request } = await startApp(t, 'sqlite');
  const post = (headers: Record<string, string>, body = '{}') => request('POST', '/users', { body, headers });
  t.equal((await post({ 'content-type': 'text/plain' })).status, 415);
  t.equal((await post({ 'content-type': 'application/merge-patch+json' })).status, 415);
  t.equal(
    (await post({ 'content-type': 'application/json; charset=utf-8' })).status,
    422,
    'a charset parameter is no other type',
  );
  const encoded = await post({ 'content-encoding': 'gzip' });
  t.match(encoded.json(), { status: 415, type: /content-encoding/ });
  t.equal((await post({}, JSON.stringify({ name: 'x'.repeat(300_000) }))).status, 413);
  t.equal((await request('POST', '/users')).status, 422, 'none at all');
  const patch = await request('PATCH', '/users/1', {
    body: '{}',
    headers: { 'content-type': 'application/json-patch+json' },
  });
  t.equal(patch.status, 415);
  t.equal(patch.headers['accept-patch'], 'application/merge-patch+json, application/json');
});

t.test(
  'what is accepted is what JSON.parse reads, and what is refused is refused with a reason',
  async (t) => {
    const wild = fc.oneof(
      fc.json({ maxDepth: 4 }),
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc
        .json({ maxDepth: 2 })
        .chain((text) => fc.nat(text.length).map((at) => text.slice(0, at) + text.slice(at + 1))),
    );
    fc.assert(
      fc.property(wild, (text) => {
        let read: unknown;
        try {
          read = parseJson(Buffer.from(text));
        } catch (error) {
          return error instanceof Malformed && error.message.length > 10;
        }
        return JSON.stringify(read) === JSON.stringify(JSON.parse(text));
      }),
      { numRuns: 5000 },
    );
    t.pass('5,000 texts');
  },
);
