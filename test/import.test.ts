import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { type Answer, startApp, type TestApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';
import { fold, wholeLog } from './support/log.ts';
import { settled } from './support/tasks.ts';
import { countRows, importFile, NDJSON, people } from './support/transfers.ts';

interface Listed {
  name: string;
  email: string;
  attributes: Record<string, unknown>;
}

async function listed(app: TestApp): Promise<Listed[]> {
  const users = (await app.request('GET', '/users?limit=1000')).json<Listed[]>();
  return users.map(({ name, email, attributes }) => ({ name, email, attributes }));
}

onEachDatabase('a CSV becomes users, with their changes, and says what it refused', async (t, dialect) => {
  const app = await startApp(t, dialect);
  const file = [
    '\ufeffTeam,EMAIL,Name,attributes,id\r\n',
    'engines,ada@example.com,Ada Lovelace,"{""desk"":12}",77\r\n',
    '\r\n',
    ',grace@example.com,"Grace ""G"" Hopper",,\n',
    'x,nobody,Bad,,\n',
    'short\n',
    '"a\nb",multi@example.com,Multi,,\r',
    'x,ada@EXAMPLE.com,Second,,\n',
    'x,q@example.com,Quo"te,,\n',
    'x,"open@example.com"y,Open,,\n',
    'x,last@example.com,Last,,',
  ].join('');
  const task = await importFile(app, file);
  t.match(task, {
    state: 'succeeded',
    result: { created: 4, updated: 0, unchanged: 0, skipped: 1, refused: 4 },
    progress: { done: 9, total: 9, bytes: Buffer.byteLength(file), totalBytes: Buffer.byteLength(file) },
  });
  t.strictSame(await listed(app), [
    { name: 'Ada Lovelace', email: 'ada@example.com', attributes: { desk: 12, Team: 'engines' } },
    { name: 'Grace "G" Hopper', email: 'grace@example.com', attributes: {} },
    { name: 'Multi', email: 'multi@example.com', attributes: { Team: 'a\nb' } },
    { name: 'Last', email: 'last@example.com', attributes: { Team: 'x' } },
  ]);
  t.equal((await wholeLog(app)).length, 4);
  const errors = await app.request('GET', `/tasks/${task.id}/errors`);
  t.equal(errors.headers['content-type'], 'text/csv; charset=utf-8');
  t.strictSame(
    errors.text.split('\r\n').map((line) => line.replace(/^(\d+),".*",/, '$1: ')),
    [
      'muster-line,muster-reason,Team,EMAIL,Name,attributes,id',
      '5: x,nobody,Bad,,',
      '6: short',
      '10: x,q@example.com,Quo"te,,',
      '11: x,"open@example.com"y,Open,,',
      '',
    ],
  );
  t.equal(await countRows(app, 'upload_blocks'), 0, 'the file is not kept');
});

onEachDatabase('refused rows can be mended and sent again as they are', async (t, dialect) => {
  const app = await startApp(t, dialect);
  const first = await importFile(app, 'name,email,team\nAda,ada@@example.com,"engines, old"\nGrace,,x\n');
  t.match(first.result, { created: 0, refused: 2 });
  const refused = (await app.request('GET', `/tasks/${first.id}/errors`)).text;
  const again = await importFile(app, refused.replace('ada@@', 'ada@'));
  t.match(again.result, { created: 1, refused: 1 });
  const third = (await app.request('GET', `/tasks/${again.id}/errors`)).text;
  t.match((await importFile(app, third.replace('Grace,,', 'Grace,grace@example.com,'))).result, {
    created: 1,
  });

  const broken = await importFile(app, '\ufeffname,email\nAda,ada@@example.com\nshort\nx,"a"b,\n');
  const errorsOf = async (id: number) => (await app.request('GET', `/tasks/${id}/errors`)).text;
  const once = await errorsOf(broken.id);
  let sent = once;
  for (let round = 1; round <= 3; round++) {
    const task = await importFile(app, sent);
    t.match(task.result, { created: 0, refused: 3 });
    sent = await errorsOf(task.id);
  }
  const ownColumns = (text: string) => text.replace(/^\d+,"(?:[^"]|"")*",/gm, '');
  t.equal(ownColumns(sent), ownColumns(once), 'however often');
  const byHand = await importFile(app, '"muster-line",Muster-Reason,name,email\n2,no email,Ada,\n');
  t.match((await errorsOf(byHand.id)).split('\r\n'), ['muster-line,muster-reason,name,email', /",Ada,$/, '']);
  const spaced = await importFile(app, '{"muster-line": 1, "muster-reason": "no", "name": "No"}', NDJSON);
  t.match(await errorsOf(spaced.id), /^{"muster-line":1,"muster-reason":"[^"]+", "name": "No"}\n$/);

  const lines = '{"name":"Bob","email":"bob"}\n[1]\n{"name":\n{"name":"No","email":"n@x.org","extra":1}\n';
  const fourth = await importFile(app, lines, NDJSON);
  t.match(fourth.result, { created: 0, refused: 4 });
  const errors = await app.request('GET', `/tasks/${fourth.id}/errors`);
  t.equal(errors.headers['content-type'], 'application/x-ndjson');
  const rows = errors.text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(rows, [
    { 'muster-line': 1, 'muster-reason': /^email must be/, name: 'Bob', email: 'bob' },
    { 'muster-line': 2, 'muster-reason': 'must be object', 'muster-row': '[1]' },
    { 'muster-line': 3, 'muster-reason': /not JSON at column/, 'muster-row': '{"name":' },
    { 'muster-line': 4, 'muster-reason': 'extra is not known here', extra: 1 },
  ]);
  const fifth = await importFile(app, errors.text.replace('"bob"', '"bob@x.org"'), NDJSON);
  t.match(fifth.result, { created: 1, refused: 3 });
  const sixth = (await app.request('GET', `/tasks/${fifth.id}/errors`)).text;
  t.match((await importFile(app, sixth.replace(',"extra":1', ''), NDJSON)).result, {
    created: 1,
    refused: 2,
  });
  t.strictSame(
    (await listed(app)).map(({ name }) => name),
    ['Ada', 'Grace', 'Bob', 'No'],
  );

  const sleep = await app.request('POST', '/tasks', { json: { kind: 'sleep', input: { ms: 1 } } });
  t.equal((await app.request('GET', `/tasks/${sleep.json<{ id: number }>().id}/errors`)).text, '');
  t.equal((await app.request('GET', '/tasks/99/errors')).status, 404);
});

onEachDatabase('what becomes of a row whose email is taken is said in the query', async (t, dialect) => {
  const app = await startApp(t, dialect);
  await app.request('POST', '/users', {
    json: { name: 'Ada', email: 'ada@example.com', attributes: { team: 'engines', desk: 1 } },
  });
  const file =
    'name,email,team,room\nAda,ada@example.com,engines,\nBob,bob@example.com,,\nBobby,BOB@example.com,x,\n';
  const expected: [string, object, number][] = [
    ['dryRun=true', { created: 1, updated: 0, unchanged: 0, skipped: 2, refused: 0 }, 1],
    ['onConflict=update&dryRun=true', { created: 1, updated: 1, unchanged: 1, skipped: 0, refused: 0 }, 1],
    ['onConflict=update', { created: 1, updated: 1, unchanged: 1, skipped: 0, refused: 0 }, 3],
    ['onConflict=update', { created: 0, updated: 2, unchanged: 1, skipped: 0, refused: 0 }, 5],
    ['onConflict=skip', { created: 0, updated: 0, unchanged: 0, skipped: 3, refused: 0 }, 5],
  ];
  for (const [query, result, changes] of expected) {
    t.match(await importFile(app, file, { query }), { state: 'succeeded', result }, query);
    t.equal((await wholeLog(app)).length, changes, query);
  }
  t.strictSame(
    (await listed(app)).map(({ name, email, attributes }) => [name, email, attributes]),
    [
      ['Ada', 'ada@example.com', { team: 'engines', desk: 1 }],
      ['Bobby', 'BOB@example.com', { team: 'x' }],
    ],
  );
  const failed = await importFile(
    app,
    'name,email\nNew,new@example.com\n,x\nBob,bob@example.com\nLater,later@example.com\n',
    { query: 'onConflict=fail' },
  );
  t.match(failed, {
    state: 'failed',
    error: { code: 'email-taken', message: /^Line 4: .* 2 rows before it stays: 1 created, .* 1 refused/ },
    progress: { counts: { created: 1, refused: 1 } },
  });
  t.equal((await listed(app)).length, 3, 'what was before it stays');
  const dry = await importFile(app, 'name,email\nNewer,newer@example.com\nBob,bob@example.com\n', {
    query: 'onConflict=fail&dryRun=true',
  });
  t.match(dry.error, { message: /^Line 3: .* writes no user; with the 1 rows .* would be done: 1 created/ });
});

onEachDatabase(
  'what is no file to be read is refused at the door, and leaves nothing',
  async (t, dialect) => {
    const app = await startApp(t, dialect, { importMaxBytes: 1000 });
    const send = (body: string | Buffer, type?: string): Promise<Answer> =>
      app.request('POST', '/users/import', {
        body,
        ...(type !== undefined && { headers: { 'content-type': type } }),
      });
    const refused: [string | Buffer, string | undefined, number][] = [
      ['', 'text/csv', 422],
      ['name,mail\nAda,ada@example.com\n', 'text/csv', 422],
      ['name,email,Email\n', 'text/csv', 422],
      ['name,email,a,a\n', 'text/csv', 422],
      ['name,email,\n', 'text/csv', 422],
      ['name,email,__proto__\n', 'text/csv', 422],
      [Buffer.from([0x6e, 0xff, 0x2c]), 'text/csv', 422],
      ['name,"email\n', 'text/csv', 422],
      ['name,email\n', 'text/csv; charset=iso-8859-1', 415],
      ['{}', 'application/json', 415],
      ['name,email\n', 'text/plain', 415],
      [`name,email\n${'x'.repeat(1000)}`, 'text/csv', 413],
      ['--x\r\n\r\n--x--\r\n', 'multipart/form-data; boundary=x', 400],
      ['', 'multipart/form-data', 400],
    ];
    for (const [body, type, status] of refused) {
      const answer = await send(body, type);
      t.equal(answer.status, status, `${body} ${answer.text}`);
    }
    t.equal(
      (
        await app.request('POST', '/users/import?onConflict=no', {
          body: 'x',
          headers: { 'content-type': 'text/csv' },
        })
      ).status,
      400,
    );
    for (const [header, said] of [
      ['name;email;team', /there is no column name, but ";": cells are separated by commas/],
      ['name\temail', /no column name, but "\\t": cells/],
      ['name, email', /" email" has white space around it/],
      ['name,email,muster-line ', /"muster-line " has white space around it/],
    ] as const) {
      const answer = await send(`${header}\n`, 'text/csv');
      t.match([answer.status, answer.json().detail], [422, said], header);
    }
    for (const table of ['uploads', 'upload_blocks']) t.equal(await countRows(app, table), 0, table);
    t.match((await importFile(app, '', NDJSON)).result, { created: 0, refused: 0 });
  },
);

onEachDatabase('a browser’s form is read, by the type or the name of its file', async (t, dialect) => {
  const app = await startApp(t, dialect);
  const part = (name: string, type: string, body: string) =>
    `--x\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: ${type}\r\n\r\n` +
    `${body}\r\n--x--\r\n`;
  const type = 'multipart/form-data; boundary=x';
  const csv = 'name,email\r\nAda,ada@example.com\r\n';
  t.match((await importFile(app, part('p.csv', 'application/vnd.ms-excel', csv), { type })).result, {
    created: 1,
  });
  t.match((await importFile(app, part('p', 'text/csv', csv), { type })).result, { skipped: 1 });
  const json = '{"name":"Bob","email":"bob@example.com"}';
  t.match((await importFile(app, part('p.jsonl', 'text/plain', json), { type })).result, { created: 1 });
  const cut = part('p.csv', 'text/csv', csv).slice(0, -10);
  const headers = { 'content-type': type };
  t.equal((await app.request('POST', '/users/import', { body: cut, headers })).status, 400);
  t.equal(await countRows(app, 'upload_blocks'), 0);
});

onEachDatabase('of a form nothing is left out in silence: it is one file in UTF-8', async (t, dialect) => {
  const app = await startApp(t, dialect);
  const csv = 'name,email\r\nAda,ada@example.com\r\n';
  const file = (type = 'text/csv') =>
    `--x\r\nContent-Disposition: form-data; name="file"; filename="p.csv"\r\nContent-Type: ${type}\r\n\r\n${csv}\r\n`;
  const field = '--x\r\nContent-Disposition: form-data; name="dryRun"\r\n\r\ntrue\r\n';
  const send = (type: string, ...parts: string[]) =>
    app.request('POST', '/users/import', {
      body: `${parts.join('')}--x--\r\n`,
      headers: { 'content-type': `multipart/form-data; ${type}` },
    });
  for (const parts of [[field, file()], [file(), field], [field], [file(), file()]]) {
    const answer = await send('boundary=x', ...parts);
    t.match(
      [answer.status, answer.json().detail],
      [400, /one file .* into the query, as in \?dryRun=true/],
      parts.join(''),
    );
  }
  for (const charset of ['utf-16', '"ISO-8859-1"']) {
    const answer = await send('boundary="x"', file(`text/csv; charset=${charset}`));
    t.match([answer.status, answer.json().detail], [415, /UTF-8/], charset);
  }
  for (const table of ['uploads', 'upload_blocks', 'tasks']) t.equal(await countRows(app, table), 0, table);
  t.equal((await send('boundary="x"', file('Text/CSV;charset="UTF-8"'))).status, 202);
});

onEachDatabase('the same file with the same Idempotency-Key is imported once', async (t, dialect) => {
  const app = await startApp(t, dialect);
  const send = (body: string, query = '') =>
    app.request('POST', `/users/import${query}`, {
      body,
      headers: { 'content-type': 'text/csv', 'idempotency-key': 'k' },
    });
  const file = people(50);
  const first = await send(file);
  const second = await send(file);
  t.strictSame(
    [second.status, second.headers['idempotent-replayed'], second.text],
    [202, 'true', first.text],
  );
  t.equal((await send(`${file}x`)).status, 422);
  t.equal((await send(file, '?dryRun=true')).status, 422);
  await settled(app.app, first.json<{ id: number }>().id);
  t.equal(await countRows(app, 'uploads'), 1);
  t.equal(await countRows(app, 'upload_blocks'), 0);
});

onEachDatabase('a row is accepted if and only if POST /users accepts it', async (t, dialect) => {
  const text = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 60 }),
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom(
      'Ada',
      ' Ada',
      'a\tb',
      'x'.repeat(51),
      'a@b.org',
      'é@x.org',
      '"a b"@x.org',
      '-1',
      '',
      'a\r\nb',
      '\0',
    ),
  );
  const email = fc.oneof(text, fc.emailAddress());
  const json = fc.oneof(
    { weight: 3, arbitrary: fc.dictionary(text, fc.jsonValue(), { maxKeys: 3 }) },
    fc.jsonValue(),
    fc.constant({ a: 'x'.repeat(16_380) }),
  );
  const person = fc.record({ name: text, email, attributes: json }, { requiredKeys: [] });
  const cell = (value: string) => `"${value.replaceAll('"', '""')}"`;
  // Thrown, so that the rows are made smaller; as the name of an assertion they could break the test's own output.
  const same = (found: unknown, wanted: Record<string, number>) => {
    const counts = Object.fromEntries(
      Object.keys(wanted).map((name) => [name, Reflect.get(Object(found), name)]),
    );
    if (!isDeepStrictEqual(counts, wanted))
      throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(wanted)}`);
  };
  await fc.assert(
    fc.asyncProperty(fc.array(person, { minLength: 1, maxLength: 12 }), async (given) => {
      const rows = given.map((one) => JSON.stringify(one));
      const accepts = async (bodies: string[]) => {
        const app = await startApp(t, dialect);
        const statuses: number[] = [];
        for (const body of bodies) statuses.push((await app.request('POST', '/users', { body })).status);
        await app.app.close();
        return statuses.map((status) => ({ 201: 'created', 409: 'skipped' })[status] ?? 'refused');
      };
      const tally = (all: string[]) => ({
        created: all.filter((one) => one === 'created').length,
        skipped: all.filter((one) => one === 'skipped').length,
        refused: all.filter((one) => one === 'refused').length,
      });
      const app = await startApp(t, dialect);
      const imported = await importFile(app, rows.join('\n'), NDJSON);
      same(imported.result, tally(await accepts(rows)));
      await app.app.close();

      // In CSV a cell is a text, and one that is missing is an empty one.
      const full = given.map(({ name = '', email = '', attributes }) => ({ name, email, attributes }));
      const csv = full.map(({ name, email, attributes }) =>
        [name, email, attributes === undefined ? '' : JSON.stringify(attributes)].map(cell).join(','),
      );
      const sound = full.filter(({ name, email }) => name.isWellFormed() && email.isWellFormed());
      if (sound.length < full.length) return;
      const other = await startApp(t, dialect);
      const task = await importFile(other, `name,email,attributes\r\n${csv.join('\r\n')}`);
      same(task.result, tally(await accepts(full.map((one) => JSON.stringify(one)))));
      t.strictSame(fold(await wholeLog(other)).length, (await listed(other)).length);
      await other.app.close();
    }),
    { numRuns: dialect === 'sqlite' ? 60 : 5 },
  );
});
