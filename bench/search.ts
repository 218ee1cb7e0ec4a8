import { seedUser } from './database/seed.ts';
import { onMuster } from './on-muster.ts';
import { readOptions } from './options.ts';
import { ms, whole } from './report/format.ts';

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
const rows: Record<string, string>[] = [];
await onMuster(options, async ({ port }, database, users) => {
  for (const sort of SORTS) {
    const all: number[] = [];
    for (const [kind, termOf] of Object.entries(TERMS)) {
      const times: number[] = [];
      for (let at = 0; at < REQUESTS; at++) {
        const id = 1 + ((Math.imul(at + 1, 0x9e3779b1) >>> 0) % users);
        times.push(await timeOf(port, sort, termOf(id)));
      }
      rows.push(rowOf(database, users, sort, kind, times));
      all.push(...times);
    }
    rows.push(rowOf(database, users, sort, 'all of them', all));
  }
});
console.table(rows);

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
