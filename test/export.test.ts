import fc from 'fast-check';
import { pruneChanges } from '../src/changes/log.ts';
import { exportUsers } from '../src/transfers/export.ts';
import { csvLines, ndjsonLines } from '../src/transfers/lines.ts';
import type { User } from '../src/users/users.schemas.ts';
import { startApp } from './support/app.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { type Change, fold, wholeLog } from './support/log.ts';
import { importFile, NDJSON, people } from './support/transfers.ts';

function usersOf(ndjson: string): User[] {
  return ndjson
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

async function readOn(pages: AsyncIterable<string | Buffer>): Promise<string> {
  let text = '';
  for await (const page of pages) text += page;
  return text;
}

onEachDatabase(
  'an export is the users at its position, whatever is written meanwhile',
  async (t, dialect) => {
    const app = await startApp(t, dialect);
    await importFile(app, people(3000));
    await app.app.listen({ host: '127.0.0.1', port: 0 });
    const base = app.app.listeningOrigin;
    let stopped = false;
    const write = async (nth: number) => {
      for (let n = 0; !stopped; n++) {
        const id = 1 + ((n * 7919 + nth * 371) % 2900);
        const name = n % 2 === 0 ? `Renamed ${n}` : `Person ${n} again`;
        const kinds = [
          () => app.request('PATCH', `/users/${id}`, { json: { name } }),
          () =>
            app.request('POST', '/users', {
              json: { name: `Person new ${n}`, email: `new${nth}.${n}@example.com` },
            }),
          () => app.request('DELETE', `/users/${id}`),
          () => app.request('PATCH', `/users/${id}`, { json: { email: `moved${nth}.${n}@example.com` } }),
        ];
        await kinds[n % 4]?.();
      }
    };
    const writers = Array.from({ length: 8 }, (_, nth) => write(nth));
    const found: { query: string; position: number; users: User[] }[] = [];
    for (let round = 0; round < 4; round++) {
      for (const query of ['', '?q=renamed', '?name=person%2012', '?email=person.55@example.com']) {
        const response = await globalThis.fetch(`${base}/users/export${query}`);
        const position = Number(response.headers.get('muster-position'));
        found.push({ query, position, users: usersOf(await response.text()) });
      }
      // As when nobody else asks: PostgreSQL reads three pages at a time.
      const { head: position } = await app.app.logExtent();
      const text = await readOn(exportUsers(app.app.reader, position, {}, ndjsonLines, () => false));
      found.push({ query: '', position, users: usersOf(text) });
    }
    stopped = true;
    await Promise.all(writers);
    const log = await wholeLog(app);
    for (const { query, position, users } of found) {
      const [[key, value] = ['', '']] = [...new URLSearchParams(query)];
      const wanted = fold(log.filter((change) => change.position <= position)).filter(
        ({ name, email }) =>
          (key !== 'q' || `${name} ${email}`.toLowerCase().includes(value)) &&
          (key !== 'name' || name.toLowerCase() === value) &&
          (key !== 'email' || email === value),
      );
      t.strictSame(users, wanted, `${query} at ${position}`);
    }
    t.ok(found.some(({ users }) => users.length > 2000));
    t.ok((log.at(-1)?.position ?? 0) > (found.at(-1)?.position ?? 0), 'there was something to hide');
  },
);

onEachDatabase('import(export(x)) is x, in both forms', async (t, dialect) => {
  const person = fc.record({
    name: fc.oneof(
      fc
        .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
        .filter((name) => /^(?!\s)[^\p{Cc}]*(?<!\s)$/u.test(name)),
      fc.constantFrom('=1+1', '-x', '@y', '"quoted"', 'a,b', "'=z", '+1'),
    ),
    attributes: fc.dictionary(
      fc.string({ unit: 'grapheme', maxLength: 5 }).filter((name) => name !== '__proto__'),
      fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('', null, 1, true, '=1', { a: [1, null] })),
    ),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(person, { maxLength: 8 }), async (given) => {
      const from = await startApp(t, dialect);
      for (const [n, one] of given.entries()) {
        await from.request('POST', '/users', {
          json: { ...one, email: `${n % 2 === 0 ? '=' : ''}${n}.É@x.org` },
        });
      }
      const kept = ({ name, email, attributes }: User) => ({ name, email, attributes });
      const users = (await from.request('GET', '/users')).json<User[]>().map(kept);
      for (const [query, type] of [
        ['csv&raw=true', 'text/csv'],
        ['ndjson', NDJSON.type],
      ] as const) {
        const file = (await from.request('GET', `/users/export?format=${query}`)).text;
        const to = await startApp(t, dialect);
        const task = await importFile(to, file, { type });
        t.match(task.result, { created: users.length, refused: 0, skipped: 0 });
        t.strictSame((await to.request('GET', '/users')).json<User[]>().map(kept), users);
        const again = await importFile(to, file, { type, query: 'onConflict=update' });
        t.match(again.result, { unchanged: users.length, updated: 0 });
        await to.app.close();
      }
      await from.app.close();
    }),
    { numRuns: dialect === 'sqlite' ? 40 : 3 },
  );
});

onEachDatabase(
  'cells that a spreadsheet would run are defused, unless asked for as they are',
  async (t, dialect) => {
    const app = await startApp(t, dialect);
    await app.request('POST', '/users', {
      json: { name: '=cmd|"x"', email: '+a@example.com', attributes: { a: '=1' } },
    });
    const csv = await app.request('GET', '/users/export?format=csv');
    t.equal(csv.text, `id,name,email,attributes\r\n1,"'=cmd|""x""","'+a@example.com","{""a"":""=1""}"\r\n`);
    t.equal(csv.headers['muster-position'], '1');
    const raw = await app.request('GET', '/users/export?format=csv&raw=true');
    t.equal(raw.text, 'id,name,email,attributes\r\n1,"=cmd|""x""","+a@example.com","{""a"":""=1""}"\r\n');
    t.equal(
      (await app.request('GET', '/users/export?format=csv&name=nobody')).text,
      'id,name,email,attributes\r\n',
    );
    t.equal((await app.request('GET', '/users/export')).headers['content-type'], 'application/x-ndjson');
    t.equal((await app.request('GET', '/users/export?q=ab')).status, 400);
    t.equal((await app.request('GET', '/users/export?format=xml')).status, 400);
    t.equal((await app.request('HEAD', '/users/export')).status, 200);
  },
);

onEachDatabase(
  'an export goes on when somebody changes whose last change the log does not have any more',
  async (t, dialect) => {
    const app = await startApp(t, dialect);
    const file = Array.from({ length: 250 }, (_, n) => `Old ${n + 1},${n + 1}@example.com\n`);
    await importFile(app, `name,email\n${file.join('')}`);
    const prune = () => app.app.write((tx) => pruneChanges(tx.em, new Date('2999-01-01T00:00:00Z'), 1000));
    t.equal(await prune(), 250);
    const { head } = await app.app.logExtent();
    const start = async () => {
      const pages = exportUsers(app.app.reader, head, {}, ndjsonLines, () => true); // of 100
      return { pages, first: String((await pages.next()).value) };
    };
    const { pages, first } = await start();
    const late = await start();
    await app.request('PATCH', '/users/220', { json: { name: 'Changed' } });
    await app.request('PATCH', '/users/220', { json: { name: 'Changed again' } });
    await app.request('DELETE', '/users/230');
    await app.request('POST', '/users', { json: { name: 'New', email: 'new@example.com' } });
    const users = usersOf(first + (await readOn(pages)));
    t.equal(users.length, 249);
    t.notOk(users.some(({ id, name }) => id === 230 || name === 'New'));
    t.match(
      users.find(({ id }) => id === 220),
      { name: 'Changed', version: 2 },
      'as the log has them first',
    );
    const since = (await app.request('GET', `/changes?after=${head}`)).json<Change[]>();
    t.strictSame(
      fold([...users.map((user) => ({ userId: user.id, user })), ...since]),
      (await app.request('GET', '/users?limit=1000')).json(),
      'who follows has missed nothing',
    );
    await prune();
    await t.rejects(readOn(late.pages), /not kept that far back/);
  },
);

onEachDatabase('others come in between the pages of an export', async (t, dialect) => {
  const app = await startApp(t, dialect);
  await importFile(app, people(3000));
  const { head } = await app.app.logExtent();
  let turns = 0;
  const count = () => {
    turns++;
    next = setImmediate(count);
  };
  let next = setImmediate(count);
  let pages = 0;
  for await (const _ of exportUsers(app.app.reader, head, {}, ndjsonLines, () => true)) pages++;
  clearImmediate(next);
  t.ok(pages > 5);
  t.ok(turns >= pages, `${turns} turns of the event loop for ${pages} pages`);
});

onEachDatabase('the pages of an export are freed as they go out', async (t, dialect) => {
  const { app, ...started } = await startApp(t, dialect);
  await importFile({ app, ...started }, people(3000));
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { transfer } = ArrayBuffer.prototype;
  let freed = 0;
  ArrayBuffer.prototype.transfer = function (length) {
    freed += this.byteLength;
    return transfer.call(this, length);
  };
  t.teardown(() => Object.assign(ArrayBuffer.prototype, { transfer }));
  const text = await (await globalThis.fetch(`${app.listeningOrigin}/users/export`)).text();
  t.ok(freed > text.length / 2 && freed < text.length, `${freed} of ${text.length} bytes`);
});

onEachDatabase(
  'a line is the same, whether the database has made it or it is of the log',
  async (t, dialect) => {
    const app = await startApp(t, dialect);
    const starts = [...'=+-@＝＋－＠"\',;a\u00a1\u{1f600}|*[]?'];
    for (const [n, start] of starts.entries()) {
      const json = {
        name: `${start}"x" ',\\ \u2028 é e\u0301 \u{10ffff}${n}`,
        email: `${/^[=+-]/.test(start) ? start : ''}${n}.É@example.com`,
        attributes: { [start]: [start, null, 1e300, -0, { '\n\r\t"': '\u0001\\' }], ' b': '' },
      };
      t.equal((await app.request('POST', '/users', { json })).status, 201);
    }
    await app.request('PATCH', '/users/2', { json: { name: 'Once more' } });
    const { head } = await app.app.logExtent();
    const texts = async () => {
      const found: string[] = [];
      for (const lines of [ndjsonLines, await csvLines(false), await csvLines(true)])
        found.push(await readOn(exportUsers(app.app.reader, head, {}, lines, () => true)));
      return found;
    };
    const made = await texts();
    for (const text of made) t.equal(text.split('\n').length, starts.length + 1);
    for (let id = 1; id <= starts.length; id++) {
      await app.request('PATCH', `/users/${id}`, { json: { name: `Renamed ${id}` } });
    }
    t.strictSame(await texts(), made);
  },
);

onEachDatabase(
  'what was written by hand and SQL cannot put in a line is exported as it is read',
  async (t, dialect) => {
    const app = await startApp(t, dialect);
    await importFile(app, people(3));
    const created = dialect === 'sqlite' ? ', created_at = 253402300800000' : ''; // the year 10000
    await app.app.write((tx) => {
      tx.changed();
      return tx.execute(`update users set name = ''${created} where id = 2`, []);
    });
    const read = async (url: string) => (await app.app.inject(url)).payload; // which is not as documented
    const users: User[] = JSON.parse(await read('/users'));
    t.strictSame(usersOf(await read('/users/export')), users);
    if (dialect === 'sqlite') t.match(users[1]?.createdAt, /10000-01-01/);
    t.match(await read('/users/export?format=csv'), /\r\n2,"","/);
  },
);

onEachDatabase('a page of large users has few of them', async (t, dialect) => {
  const app = await startApp(t, dialect);
  const users = Array.from({ length: 300 }, (_, n) => ({
    name: `Large ${n}`,
    email: `large${n}@example.com`,
    attributes: { note: 'x'.repeat(16_000) },
  }));
  await importFile(app, users.map((user) => `${JSON.stringify(user)}\n`).join(''), { type: NDJSON.type });
  await app.app.write((tx) => {
    tx.changed();
    return tx.execute('delete from users where id between 120 and 220', []);
  });
  const { head } = await app.app.logExtent();
  const pages: number[] = [];
  for await (const page of exportUsers(app.app.reader, head, {}, ndjsonLines, () => false))
    pages.push(page.length);
  t.ok(
    pages.slice(1).every((bytes) => bytes <= 524_288),
    `${pages}`,
  );
  t.ok((pages[0] ?? 0) < 2_000_000);
  t.equal(
    pages.reduce((sum, one) => sum + one, 0),
    (await app.request('GET', '/users/export')).text.length,
  );
});

onEachDatabase('ids may be anywhere, and as far apart as they like', async (t, dialect) => {
  const app = await startApp(t, dialect);
  await importFile(app, people(4000));
  const moves = [
    'delete from users where id between 700 and 1600',
    'update users set id = id + 100000 where id > 2500',
    'update users set id = id + 2000000000 where id > 103900',
  ];
  for (const sql of moves) {
    await app.app.write((tx) => {
      tx.changed();
      return tx.execute(sql, []);
    });
  }
  const wanted = await app.app.reader.read<{ id: number }>('select id from users order by id', []);
  t.ok((wanted.at(-1)?.id ?? 0) > 2_000_000_000);
  const { head } = await app.app.logExtent();
  for (const isBusy of [false, true]) {
    let reads = 0;
    const reader: typeof app.app.reader = {
      ...app.app.reader,
      read(...query) {
        reads++;
        return app.app.reader.read(...query);
      },
    };
    const text = await readOn(exportUsers(reader, head, {}, ndjsonLines, () => isBusy));
    t.strictSame(
      usersOf(text).map(({ id }) => id),
      wanted.map(({ id }) => id),
    );
    t.ok(reads < 120, `in ${reads} queries`);
  }
});

onEachDatabase('a search that is too short is refused, also where nobody is', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  t.equal((await request('GET', '/users/export?q=e%CC%81e%CC%81')).status, 400);
  t.equal((await request('GET', '/users/export')).text, '');
});

onEachDatabase('the times of an export are in UTC, whatever the zone of the session', async (t, dialect) => {
  const databaseUrl = await emptyDatabase(t, dialect);
  const zone = dialect === 'postgresql' ? '?options=-c%20TimeZone%3DAsia/Tokyo' : '';
  const app = await startApp(t, dialect, { databaseUrl: `${databaseUrl}${zone}` });
  await app.request('POST', '/users', { json: { name: 'Ada', email: 'ada@example.com' } });
  const { createdAt } = (await app.request('GET', '/users/1')).json<User>();
  const [exported] = usersOf((await app.request('GET', '/users/export?format=ndjson')).text);
  t.equal(exported?.createdAt, createdAt);
});
