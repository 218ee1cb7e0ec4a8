import t from 'tap';
import { fuzz, fuzzRaw } from './fuzz/fuzz.ts';
import { freshDatabase, onEachDatabase } from './support/databases.ts';

/** A few seconds for each database; `.ci/run` sends 100,000, which `npm run fuzz` does. */
const REQUESTS = Number(process.env.FUZZ_REQUESTS ?? 500);
const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));

onEachDatabase(`requests made of the API document, seed ${SEED}`, async (t, dialect) => {
  const databases = { fresh: () => freshDatabase(dialect), drop: async () => {} };
  const { failure, requests } = await fuzz(databases, { requests: REQUESTS, seed: SEED });
  t.equal(failure, undefined);
  t.ok(requests >= REQUESTS, `${requests} requests`);
});

t.test(`bytes that are no requests, seed ${SEED}`, async (t) => {
  const databases = { fresh: () => freshDatabase('sqlite'), drop: async () => {} };
  t.ok((await fuzzRaw(databases, { seed: SEED, runs: 100 })) > 100);
});
