import t, { type Test } from 'tap';
import { User as UserEntity } from '../src/users/user.entity.ts';
import { type Answer, startApp, type TestApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';

interface User {
  id: number;
  name: string;
  email: string;
  createdAt: string;
}

function nextOf(answer: Answer): string | undefined {
  return /^<(.+)>; rel="next"$/.exec(String(answer.headers.link ?? ''))?.[1];
}

/** Follows the Link headers from a first URL to the end. */
async function walk(
  { request }: TestApp,
  test: Test,
  first: string,
  meanwhile = async () => {},
): Promise<User[]> {
  const users: User[] = [];
  for (let url: string | undefined = first; url !== undefined; ) {
    const answer: Promise<Answer> = request('GET', url);
    await meanwhile();
    const page = await answer;
    test.equal(page.status, 200, url);
    users.push(...page.json<User[]>());
    url = nextOf(page);
  }
  return users;
}

async function create({ request }: TestApp, people: [name: string, email: string][]): Promise<void> {
  const answers = await Promise.all(
    people.map(([name, email]) => request('POST', '/users', { json: { name, email } })),
  );
  for (const { status, text } of answers) if (status !== 201) throw new Error(text);
}

onEachDatabase('an empty list is an empty array without a Link', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  const answer = await request('GET', '/users');
  t.equal(answer.text, '[]');
  t.notOk('link' in answer.headers);
});

onEachDatabase('every sort walks all users once, in the same order on both databases', async (t, dialect) => {
  const muster = await startApp(t, dialect);
  const names = ['bob', 'Bob', 'Zoë', 'zoe', 'Ada', 'ada', 'Émile', 'emile', '李', 'ÅSA', 'Bob'];
  for (const [at, name] of names.entries()) {
    await create(muster, [[name, `${String.fromCharCode(122 - at)}${at % 2 ? 'X' : 'y'}@example.com`]]);
  }
  const all = await walk(muster, t, '/users?limit=1000');
  const byCodePoint = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  const orders: Record<string, (a: User, b: User) => number> = {
    id: (a, b) => a.id - b.id,
    name: (a, b) => byCodePoint(a.name.toLowerCase(), b.name.toLowerCase()) || a.id - b.id,
    email: (a, b) => byCodePoint(a.email.toLowerCase(), b.email.toLowerCase()),
    createdAt: (a, b) => Date.parse(a.createdAt) - Date.parse(b.createdAt) || a.id - b.id,
  };
  for (const [sort, order] of Object.entries(orders)) {
    const expected = all.toSorted(order).map((user) => user.id);
    for (const limit of [1, 3, 11, 12]) {
      const up = await walk(muster, t, `/users?sort=${sort}&limit=${limit}`);
      t.strictSame(
        up.map((user) => user.id),
        expected,
        `${sort} by ${limit}`,
      );
      const down = await walk(muster, t, `/users?sort=-${sort}&limit=${limit}`);
      t.strictSame(
        down.map((user) => user.id),
        expected.toReversed(),
        `-${sort} by ${limit}`,
      );
    }
  }
});

onEachDatabase('email and name filter without regard to letter case and Unicode form', async (t, dialect) => {
  const muster = await startApp(t, dialect);
  await create(muster, [
    ['José', 'jose@bücher.example'],
    ['josé', 'other@example.com'],
    ['Jose', 'third@example.com'],
  ]);
  const ids = async (query: string) => (await walk(muster, t, `/users?${query}`)).map((user) => user.id);
  t.strictSame(await ids('name=JOSE%CC%81'), [1, 2]);
  t.strictSame(await ids('name=JOSE%CC%81&limit=1&sort=-id'), [2, 1], 'page by page');
  t.strictSame(await ids('email=JOSE@xn--bcher-kva.example'), [1]);
  t.strictSame(await ids('email=other@example.com&name=jose'), []);
  t.strictSame(await ids('email=nobody@example.com'), []);
});

onEachDatabase(
  'a search finds users by any part of name or email, in every sort, page by page',
  async (t, dialect) => {
    const muster = await startApp(t, dialect);
    await create(muster, [
      ['José García', 'first@bücher.example'],
      ['Grace Hopper', 'JOSE@example.com'],
      ['李小龙', 'bruce@example.com'],
      ['50% off_ \\ "quoted" ? *', 'odd@example.com'],
      ['Olga', 'garcia@example.org'],
    ]);
    const found = async (q: string, more = '') =>
      (await walk(muster, t, `/users?q=${encodeURIComponent(q)}${more}`)).map(
        (user) => user.email.split('@')[0],
      );
    t.strictSame(await found('JOSÉ'), ['first']);
    t.strictSame(await found('jose\u0301'), ['first'], 'in any Unicode form');
    t.strictSame(await found('ose'), ['JOSE']);
    t.strictSame(await found('BÜCHER'), ['first'], 'as the domain is spelled');
    t.strictSame(await found('李小龙'), ['bruce']);
    t.strictSame(await found('example'), ['first', 'JOSE', 'bruce', 'odd', 'garcia']);
    t.strictSame(await found('gar'), ['first', 'garcia']);
    t.strictSame(await found('no such'), []);
    for (const q of ['50%', '% o', 'ff_', '_ \\', ' \\ ', '"quo', 'ed" ?', '? *'])
      t.strictSame(await found(q), ['odd'], q);
    t.strictSame(await found('f%_'), [], 'nothing in it is a wild card');
    t.strictSame(await found("x' or '1'='1"), []);
    t.strictSame(await found('hopperjose'), [], 'not across name and email');
    for (const sort of ['id', 'name', 'email', 'createdAt']) {
      const all = await found('example', `&sort=${sort}`);
      t.equal(all.length, 5);
      t.strictSame(await found('example', `&sort=${sort}&limit=2`), all, sort);
      t.strictSame(await found('example', `&sort=-${sort}&limit=1`), all.toReversed(), `-${sort}`);
    }
    t.strictSame(await found('example', '&name=olga'), ['garcia'], 'together with a filter');
    t.strictSame(await found('hopper', '&email=garcia@example.org'), []);

    await muster.request('PATCH', '/users/2', { json: { name: 'Amazing Grace' } });
    await muster.request('PATCH', '/users/3', { json: { attributes: { x: 1 } } });
    await muster.request('DELETE', '/users/5');
    t.strictSame(await found('hopper'), [], 'it follows changes');
    t.strictSame(await found('amazing'), ['JOSE']);
    t.strictSame(await found('bruce'), ['bruce']);
    t.strictSame(await found('garcia'), []);
    for (const q of ['jo', '%F0%9F%91%A9%F0%9F%91%A9', 'e%CC%81x', 'a%0Ab', 'x'.repeat(101)]) {
      const answer = await muster.request('GET', `/users?q=${q}`);
      t.match(answer.json(), { status: 400, errors: [{ in: 'query', pointer: '#/q' }] }, q);
    }
  },
);

onEachDatabase('users who tie are walked through once each, in every sort', async (t, dialect) => {
  const muster = await startApp(t, dialect);
  await create(
    muster,
    Array.from({ length: 30 }, (_, at) => [at < 20 ? 'Same' : `Name ${at}`, `u${at}@example.com`]),
  );
  await muster.app.orm.em.fork().nativeUpdate(UserEntity, { id: { $lte: 25 } }, { createdAt: new Date(0) });
  for (const sort of ['name', '-name', 'createdAt', '-createdAt']) {
    const all = (await walk(muster, t, `/users?sort=${sort}`)).map((user) => user.id);
    t.equal(new Set(all).size, 30);
    for (const limit of [1, 7, 20]) {
      const paged = await walk(muster, t, `/users?sort=${sort}&limit=${limit}`);
      t.strictSame(
        paged.map((user) => user.id),
        all,
        `${sort} by ${limit}`,
      );
    }
  }
});

onEachDatabase('a cursor is good for its own list only', async (t, dialect) => {
  const muster = await startApp(t, dialect);
  await create(muster, [
    ['A', 'a@example.com'],
    ['A', 'b@example.com'],
    ['A', 'c@example.com'],
  ]);
  const next = nextOf(await muster.request('GET', '/users?limit=1&sort=name&name=a'));
  const cursor = new URL(next ?? '', 'http://x').searchParams.get('after') ?? '';
  t.equal(
    (await muster.request('GET', `/users?sort=name&name=a&limit=7&after=${cursor}`)).status,
    200,
    'another limit is fine',
  );
  const forged = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const [fingerprint] = JSON.parse(Buffer.from(cursor, 'base64url').toString());
  for (const query of [
    `sort=-name&name=a&after=${cursor}`,
    `sort=name&after=${cursor}`,
    `sort=id&name=a&after=${cursor}`,
    `sort=name&name=b&after=${cursor}`,
    `sort=name&name=a&after=${cursor.slice(0, -3)}`,
    `sort=name&name=a&after=${forged([fingerprint, 1, 1])}`,
    `sort=name&name=a&after=${forged([fingerprint, 'a'])}`,
    `sort=name&name=a&after=${forged([fingerprint, 'a', 1.5])}`,
    `sort=name&name=a&after=${forged([fingerprint, 'a', 1e300])}`,
    `sort=name&name=a&after=${forged([fingerprint, 'a', -1])}`,
    `sort=name&name=a&after=${forged([fingerprint, 'a\0', 1])}`,
    `sort=name&name=a&after=${forged({})}`,
    'after=x',
    'after=%F0%9F%A6%84',
  ]) {
    const answer = await muster.request('GET', `/users?${query}`);
    t.equal(answer.status, 400, query);
    t.match(answer.json(), { type: /invalid-cursor/, errors: [{ in: 'query', pointer: '#/after' }] }, query);
  }
});

t.test('a parameter that is unknown, given twice or out of range is a 400 that names it', async (t) => {
  const { request } = await startApp(t, 'sqlite');
  for (const [query, name] of [
    ['limit=0', 'limit'],
    ['limit=1001', 'limit'],
    ['limit=', 'limit'],
    ['limit=1e2', 'limit'],
    ['limit=%2010', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['sort=age', 'sort'],
    ['sort=', 'sort'],
    ['after=', 'after'],
    ['email=nobody', 'email'],
    ['emial=a@example.com', 'emial'],
    ['offset=10', 'offset'],
  ] as const) {
    const answer = await request('GET', `/users?${query}`);
    t.equal(answer.status, 400, query);
    t.match(answer.json(), { errors: [{ in: 'query', pointer: `#/${name}` }] }, query);
  }
});

onEachDatabase(
  'a walk of 100,000 users sees each that stays exactly once, while others come, change and go',
  async (t, dialect) => {
    const muster = await startApp(t, dialect);
    await muster.app.orm.em.fork().execute(manyUsers(dialect));
    const stays = (id: number) => id % 10 !== 0;
    const seen = new Map<number, number>();
    let writes = 0;
    let turn = 0;
    const write = async () => {
      turn++;
      const victim = ((turn * 7919) % 9_999) * 10 + 10;
      const patched = (turn * 104_729) % 100_000;
      const answers = await Promise.all([
        muster.request('POST', '/users', { json: { name: 'New', email: `new${turn}@example.com` } }),
        muster.request('DELETE', `/users/${victim}`),
        muster.request('PATCH', `/users/${patched + 1}`, { json: { attributes: { turn } } }),
      ]);
      writes += answers.filter((answer) => answer.status < 300).length;
    };
    for (const first of ['/users?limit=1000', '/users?limit=1000&sort=-email']) {
      seen.clear();
      for (const { id } of await walk(muster, t, first, write)) seen.set(id, (seen.get(id) ?? 0) + 1);
      const wrong = [];
      for (let id = 1; id <= 100_000; id++) if (stays(id) && seen.get(id) !== 1) wrong.push(id);
      t.strictSame(wrong, [], `${first}: each that stays once`);
      t.ok(
        [...seen.values()].every((times) => times === 1),
        'and nobody twice',
      );
    }
    t.ok(writes > 300, `${writes} writes went on meanwhile`);
  },
);

/** 100,000 users in one statement. */
function manyUsers(dialect: string): string {
  const [numbers, now, newline] =
    dialect === 'sqlite'
      ? [
          '(with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) select i from n)',
          '1700000000000',
          'char(10)',
        ]
      : ['(select generate_series(1, 100000) as i) as n', 'now()', 'chr(10)'];
  return `insert into users (name, name_key, email, email_key, search_key, attributes, version, created_at, updated_at)
    select 'User ' || i, 'user ' || i, 'user' || i || '@example.com', 'user' || i || '@example.com',
      'user ' || i || ${newline} || 'user' || i || '@example.com', '{}', 1, ${now}, ${now}
    from ${numbers} order by i`;
}
