import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { fetch } from './support/fetch.ts';
import { startService } from './support/service.ts';

/** How often the service is killed: `.ci/run` does it 100 times. */
const ROUNDS = Number(process.env.CRASH_ROUNDS ?? 10);
const CLIENTS = 8;

interface User {
  id: number;
  name: string;
  email: string;
  attributes: unknown;
  version: number;
}

/** Creates users one after the other until the service is gone; gives the ids that were acknowledged. */
async function storm(base: string, client: string): Promise<Map<number, string>> {
  const acknowledged = new Map<number, string>();
  for (let at = 0; ; at++) {
    const email = `${client}-${at}@example.com`;
    try {
      const response = await fetch(`${base}/users`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': email },
        body: JSON.stringify({ name: client, email, attributes: { client, at } }),
      });
      const user = (await response.json()) as User;
      if (response.status === 201) acknowledged.set(user.id, email);
    } catch {
      return acknowledged;
    }
  }
}

onEachDatabase(
  `after ${ROUNDS} times kill -9 in a storm of creates no acknowledged user is missing and none is half there`,
  async (t, dialect) => {
    const databaseUrl = await emptyDatabase(t, dialect);
    const env = { DATABASE_URL: databaseUrl, LOG_LEVEL: 'info' };
    const acknowledged = new Map<number, string>();
    for (let round = 0; round < ROUNDS; round++) {
      const service = await startService(t, env);
      const storms = Array.from({ length: CLIENTS }, (_, client) =>
        storm(service.base, `r${round}c${client}`),
      );
      // Killed at another moment each time: after 1 to 40 answers.
      await service.said(/"status":201/, 1 + ((round * 7) % 40));
      await service.end('SIGKILL');
      for (const one of await Promise.all(storms)) for (const [id, email] of one) acknowledged.set(id, email);
    }
    const service = await startService(t, env);
    const kept = new Map<number, User>();
    for (let url: string | undefined = '/users?limit=1000'; url !== undefined; ) {
      const page: Response = await fetch(`${service.base}${url}`);
      for (const user of (await page.json()) as User[]) kept.set(user.id, user);
      url = /<(.+)>/.exec(page.headers.get('link') ?? '')?.[1];
    }
    const missing = [...acknowledged].filter(([id, email]) => kept.get(id)?.email !== email);
    t.strictSame(missing, [], `all ${acknowledged.size} acknowledged users are there`);
    t.ok(acknowledged.size >= ROUNDS);
    const half = [...kept.values()].filter(({ name, email, attributes, version }) => {
      const { client, at } = attributes as { client: string; at: number };
      return version !== 1 || name !== client || email !== `${client}-${at}@example.com`;
    });
    t.strictSame(half, [], 'and none is half there');
    await service.end('SIGTERM');
  },
);
