import { postgresTemplate, startDurablePostgres } from './database/postgresql.ts';
import { seedUser, type Template } from './database/seed.ts';
import { sqliteTemplate } from './database/sqlite.ts';
import { takeMachine } from './machine/cores.ts';
import { startServer } from './machine/server-process.ts';
import { readOptions } from './options.ts';
import { ms, whole } from './report/format.ts';
import { MUSTER, SERVERS } from './servers.ts';

/**
 * `npm run search`: what a search through the service takes, one request after the other, for terms of every kind and
 * two sorts. Takes `--users` and `--databases` of `npm run bench`.
 */
const REQUESTS = 200;
const LIMIT = 20;
const SORTS = ['id', 'name'];

/** A term from the user with this number. */
const TERMS: Record<string, (id: number) => string> = {
  'a whole email': (id) => seedUser(id).email,
  'the end of a local part': (id) => `${id}@`,
  'the beginning of an email': (id) => seedUser(id).email.slice(0, 9),
  'a name and its number': (id) => seedUser(id).name,
  'a surname (100,000 in a million)': (id) => seedUser(id).name.split(' ')[1] ?? '',
  'three letters': (id) => seedUser(id).name.slice(1, 4),
  'what all have': () => 'example.com',
  'what nobody has': (id) => `zq${id}xj`,
  'punctuation between two': (id) => seedUser(id).email.replace(/^.*(.)@(.).*$/, '$1@$2'),
};

const options = readOptions(process.argv.slice(2));
takeMachine();
const postgres = options.databases.includes('postgresql') ? await startDurablePostgres() : undefined;
const rows: Record<string, string>[] = [];
try {
  for (const users of options.users) {
    if (options.databases.includes('sqlite')) await measureAll(await sqliteTemplate(users), 'sqlite', users);
    if (postgres) await measureAll(await postgresTemplate(postgres, users), 'postgresql', users);
  }
} finally {
  await postgres?.stop();
}
console.table(rows);

async function measureAll(template: Template, database: string, users: number): Promise<void> {
  const server = SERVERS.find(({ name }) => name === MUSTER);
  if (server === undefined) throw new Error('no server to measure');
  const copy = await template.copy('search');
  const started = await startServer(server.command, { ...server.env, DATABASE_URL: copy.url }, server);
  try {
    for (const sort of SORTS) {
      const all: number[] = [];
      for (const [kind, termOf] of Object.entries(TERMS)) {
        const times: number[] = [];
        for (let at = 0; at < REQUESTS; at++) {
          const id = 1 + ((Math.imul(at + 1, 0x9e3779b1) >>> 0) % users);
          times.push(await timeOf(started.port, sort, termOf(id)));
        }
        rows.push(rowOf(database, users, sort, kind, times));
        all.push(...times);
      }
      rows.push(rowOf(database, users, sort, 'all of them', all));
    }
  } finally {
    await started.stop();
    await copy.remove();
    await template.remove();
  }
}

async function timeOf(port: number, sort: string, term: string): Promise<number> {
  const query = new URLSearchParams({ q: term, sort, limit: String(LIMIT) });
  const from = performance.now();
  const answer = await fetch(`http://127.0.0.1:${port}/users?${query}`);
  await answer.arrayBuffer();
  if (answer.status !== 200) throw new Error(`${query}: ${answer.status}`);
  return performance.now() - from;
}

function rowOf(database: string, users: number, sort: string, kind: string, times: number[]) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number) => ms(sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN);
  return {
    database,
    users: whole(users),
    sort,
    term: kind,
    'p50 ms': at(0.5),
    'p95 ms': at(0.95),
    'most ms': at(1),
  };
}
