import { parseArgs } from 'node:util';
import { openMigratedDatabase } from '../../src/db/database.ts';
import { entities } from '../../src/entities.ts';
import { startPostgres } from '../support/postgres.ts';
import { type Databases, fuzz, fuzzRaw } from './fuzz.ts';

/*
 * `npm run fuzz -- --requests 100000 [--seed N] [--database sqlite|postgresql]`: so many requests on each database.
 * FUZZ_REQUESTS and FUZZ_SEED say the same.
 */
const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: process.env.FUZZ_REQUESTS ?? '10000' },
    seed: { type: 'string', default: process.env.FUZZ_SEED ?? String(Math.floor(Math.random() * 2 ** 31)) },
    database: { type: 'string' },
  },
});
const requests = Number(values.requests);
const seed = Number(values.seed);

const inMemory: Databases = { fresh: async () => 'sqlite::memory:', drop: async () => {} };

/** A line each so many, so that one sees that it goes on. */
const REPORT = 20_000;

function reporter(name: string): (done: number) => void {
  let next = REPORT;
  return (done) => {
    if (done < next) return;
    console.log(`fuzz: ${name}: ${done} so far`);
    next += REPORT;
  };
}

async function run(name: string, databases: Databases): Promise<boolean> {
  console.log(`fuzz: ${name}, seed ${seed}`);
  const {
    requests: sent,
    ms,
    failure,
    statuses,
    held,
  } = await fuzz(databases, { requests, seed, progress: reporter(name) });
  if (failure !== undefined) console.log(failure);
  const raw = await fuzzRaw(databases, { seed, runs: Math.ceil(requests / 100) });
  const counts = [...statuses].sort(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`);
  console.log(
    `fuzz: ${name}: ${counts.join(', ')}; ${Math.round((sent / ms) * 1000)} requests a second; ${raw} connections of raw bytes`,
  );
  const known = Object.entries(held).map(([what, count]) => `${what}: ${count}`);
  console.log(`fuzz: ${name}: held against the model: ${known.join(', ')}`);
  console.log(`fuzz: ${name}: ${sent} requests, seed ${seed}, ${failure === undefined ? 0 : 1} failures`);
  return failure === undefined;
}

async function runOnPostgres(): Promise<boolean> {
  const server = await startPostgres();
  try {
    await server.query('create database template_fuzz');
    const template = await openMigratedDatabase({ databaseUrl: server.url('template_fuzz'), entities });
    await template.close();
    let made = 0;
    return await run('postgresql', {
      async fresh() {
        const name = `fuzz_${++made}`; // others ask for theirs meanwhile
        await server.query(`create database ${name} template template_fuzz`);
        return server.url(name);
      },
      drop: async (url) => {
        await server.query(`drop database ${new URL(url).pathname.slice(1)} with (force)`);
      },
    });
  } finally {
    await server.stop();
  }
}

const isWanted = (name: string) => values.database === undefined || values.database === name;
const results = [
  !isWanted('sqlite') || (await run('sqlite', inMemory)),
  !isWanted('postgresql') || (await runOnPostgres()),
];
process.exitCode = results.includes(false) ? 1 : 0;
