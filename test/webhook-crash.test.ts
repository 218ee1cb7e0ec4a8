import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { fetch } from './support/fetch.ts';
import { startReceiver } from './support/receiver.ts';
import { startService } from './support/service.ts';

const ROUNDS = Number(process.env.CRASH_ROUNDS ?? 3);

onEachDatabase(
  `after ${ROUNDS} times kill -9 every change has been acknowledged, under one id and in the order of its user`,
  async (t, dialect) => {
    const databaseUrl = await emptyDatabase(t, dialect);
    const env = { DATABASE_URL: databaseUrl, WEBHOOK_ALLOWED_NETWORKS: '127.0.0.0/8' };
    const acknowledged = new Map<number, string[]>();
    const order = new Map<number, number[]>();
    const receiver = await startReceiver(t, ({ id, body: { data } }, response) => {
      response.writeHead(204).end();
      const positions = order.get(data.userId) ?? [];
      if (!acknowledged.has(data.position)) order.set(data.userId, [...positions, data.position]);
      acknowledged.set(data.position, [...(acknowledged.get(data.position) ?? []), id]);
    });
    const post = async (url: string, json: unknown, method = 'POST') => {
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(url, { method, headers, body: JSON.stringify(json) });
      return (await response.json()) as { id: number };
    };
    let service = await startService(t, env);
    await post(`${service.base}/webhooks`, { url: receiver.url });
    for (let round = 0; round < ROUNDS; round++) {
      const { base } = service;
      const storms = Array.from({ length: 4 }, async (_, client) => {
        try {
          const email = `r${round}c${client}@example.com`;
          const { id } = await post(`${base}/users`, { name: email, email });
          for (let n = 0; ; n++) await post(`${base}/users/${id}`, { name: `${email} ${n}` }, 'PATCH');
        } catch {
          // it is gone
        }
      });
      // Killed at another moment each time.
      const enough = receiver.received.length + 5 + ((round * 7) % 40);
      await receiver.until((all) => all.length >= enough);
      await service.end('SIGKILL');
      await Promise.all(storms);
      service = await startService(t, env);
    }
    const committed: number[] = [];
    for (let after = 0; ; ) {
      const page = await fetch(`${service.base}/changes?after=${after}&limit=1000`);
      committed.push(...((await page.json()) as { position: number }[]).map(({ position }) => position));
      after = Number(page.headers.get('muster-position'));
      if (page.headers.get('link') === null) break;
    }
    await receiver.until(() => committed.every((position) => acknowledged.has(position)));
    t.equal(acknowledged.size, committed.length, `all ${committed.length} changes, and no other`);
    const ids = [...acknowledged.values()].filter((all) => new Set(all).size !== 1);
    t.strictSame(ids, [], 'each under one id');
    for (const [user, positions] of order)
      t.strictSame(
        positions,
        positions.toSorted((a, b) => a - b),
        `those of user ${user} in order`,
      );
    await service.end('SIGTERM');
  },
);
