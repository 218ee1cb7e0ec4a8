import t from 'tap';
import type { User } from '../src/users/users.schemas.ts';
import type { Change } from './support/log.ts';
import type { Answer, Send } from './torture/storage/client.ts';
import { Ledger } from './torture/storage/ledger.ts';

/** A directory that may do one thing and say another. */
class Liar {
  users: User[] = [];
  log: Change[] = [];
  /** Of its tasks, by their ids, from 1. */
  states: string[] = [];
  /** From now on: whether a write is made, and what is said of it. */
  does = true;
  says: Answer | undefined;
  readonly ledger = new Ledger((...request) => this.#answer(...request));

  write(id: number, fields: Partial<User> | undefined): void {
    const version = this.log.filter(({ userId }) => userId === id).length + 1;
    const before = this.users.find((user) => user.id === id);
    const user = fields === undefined ? null : ({ ...before, ...fields, id } as User);
    const others = this.users.filter((one) => one !== before);
    this.users = (user === null ? others : [...others, user]).sort((a, b) => a.id - b.id);
    const position = this.log.length + 1;
    this.log.push({ position, type: '', userId: id, version, user, changedFields: [], actor: null, at: '' });
  }

  async #answer(...[method, url, { json = {} } = {}]: Parameters<Send>): Promise<Answer | undefined> {
    const [, list = '', number] = /^\/(\w+)\/?(\d+)?/.exec(url) ?? [];
    if (method === 'GET')
      return said(
        200,
        list === 'tasks'
          ? { state: this.states[Number(number) - 1] }
          : this[list === 'users' ? 'users' : 'log'],
      );
    const id = Number(number ?? this.log.length + 1);
    const { input } = json as { input?: { name: string } };
    const makes = input
      ? [0, 1, 2].map((n) => ({ email: `${input.name}-${n}@example.com`, attributes: {} }))
      : [json];
    if (this.does)
      for (const [at, one] of makes.entries()) this.write(id + at, method === 'DELETE' ? undefined : one);
    const status = method === 'POST' ? 201 : 200;
    return this.says ?? said(status, { id: input ? this.states.push('succeeded') : id });
  }
}

function said(status: number, body: unknown): Answer {
  return { status, headers: {}, text: JSON.stringify(body) };
}

const REFUSED = said(503, {});
const UNKNOWN = said(503, { type: 'urn:problem-type:muster:commit-failed' });

/** A directory that has told the truth so far. */
async function directory(): Promise<Liar> {
  const liar = new Liar();
  for (const email of ['a@x.org', 'b@x.org', 'c@x.org']) await liar.ledger.create(email, { n: 0 });
  await liar.ledger.patch('b@x.org', { n: 1 });
  await liar.ledger.remove('c@x.org');
  await liar.ledger.steps('task');
  return liar;
}

/** What the ledger finds when these writes have another fate than is said. */
async function found(does: boolean, says: Answer | undefined, write: (ledger: Ledger) => Promise<void>) {
  const liar = Object.assign(await directory(), { does, says });
  await write(liar.ledger);
  return liar.ledger.verify({ isOver: true });
}

const WRITES: [name: string, write: (ledger: Ledger) => Promise<void>, ...broken: RegExp[]][] = [
  ['a create', (ledger) => ledger.create('d@x.org'), /^d@x.org is/],
  ['a patch', (ledger) => ledger.patch('a@x.org', { n: 1 }), /^a@x.org is/],
  ['a deletion', (ledger) => ledger.remove('a@x.org'), /^a@x.org is/],
  ['a task', (ledger) => ledger.steps('more'), /^more-0@/, /^more-1@/, /^more-2@/],
];

for (const [name, write, ...broken] of WRITES)
  t.test(
    `${name} that was acknowledged and is lost is found, and one that was refused and is there`,
    async (t) => {
      t.strictSame(await found(true, undefined, write), []);
      t.strictSame(await found(false, REFUSED, write), []);
      for (const does of [true, false]) t.strictSame(await found(does, UNKNOWN, write), []);
      t.match(await found(false, undefined, write), broken);
      t.match(await found(true, REFUSED, write), broken);
    },
  );

const DOCTORED: [what: string, doctor: (liar: Liar) => unknown, found: RegExp][] = [
  ['a row that is lost', (it) => it.users.shift(), /the log does not rebuild the table/],
  ['a row that is there twice', (it) => it.users.push(...it.users.slice(-1)), /the log does not rebuild/],
  [
    'a user of whom nobody knows',
    (it) => it.write(20, { email: 'n@x.org' }),
    /n@x.org is there, and nobody asked/,
  ],
  ['a version that is left out', (it) => it.log.splice(1, 1), /user 2 has version 2 after/],
  [
    'a position that is there twice',
    (it) => Object.assign(it.log[3] ?? {}, { position: 3 }),
    /position 3 is out of order/,
  ],
  ['a task that failed', (it) => it.states.splice(0, 1, 'failed'), /the task task is failed/],
  ['a task that is left', (it) => it.states.splice(0, 1, 'running'), /the task task is running/],
];

t.test('so is what cannot be of a log, a table and tasks', async (t) => {
  for (const [what, doctor, pattern] of DOCTORED) {
    const liar = await directory();
    doctor(liar);
    const broken = await liar.ledger.verify({ isOver: true });
    t.ok(
      broken.some((one) => pattern.test(one)),
      `${what}: ${broken}`,
    );
  }
});

t.test('so is an answer that is neither an acknowledgement nor a refusal', async (t) => {
  const liar = Object.assign(await directory(), { says: said(500, {}) });
  await liar.ledger.create('d@x.org');
  t.strictSame(liar.ledger.broken, ['answered 500: {}']);
});
