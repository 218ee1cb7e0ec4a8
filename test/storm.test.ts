import { setTimeout as wait } from 'node:timers/promises';
import type { Test } from 'tap';
import type { User } from '../src/users/users.schemas.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { fetch as checkedFetch, readAll } from './support/fetch.ts';
import { type Follower, followThrough } from './support/follow.ts';
import type { Change } from './support/log.ts';
import { freePort } from './support/postgres.ts';
import { startReceiver } from './support/receiver.ts';
import { type Service, startService } from './support/service.ts';
import {
  followerSawAll,
  logRebuildsTable,
  type Taken,
  take,
  versionsInLine,
  webhookTookAll,
} from './torture/log-invariants.ts';

/** How often a service is killed: `.ci/run` does it 50 times. The stream is cut twice as often. */
const KILLS = Number(process.env.STORM_KILLS ?? 8);
const WRITERS = 8;

/** What writers and followers share: where the services are, and when all is over. */
interface Storm {
  bases: string[];
  over: boolean;
  acknowledged: { created: Map<number, string>; versions: Map<number, number>; deleted: Set<number> };
  undone: string[];
  held: number;
}

/** Does one thing after the other, at whatever service answers, until the storm is over. */
async function writer(storm: Storm, name: string): Promise<void> {
  const own: number[] = [];
  const { created, versions, deleted } = storm.acknowledged;
  for (let at = 0; !storm.over; at++) {
    const base = storm.bases[at % storm.bases.length];
    const email = `${name}-${at}@example.com`;
    const send = (method: string, path: string, body?: object) =>
      fetch(`${base}${path}`, {
        method,
        ...(body !== undefined && {
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        }),
        signal: AbortSignal.timeout(60_000),
      });
    try {
      const id = own[at % own.length];
      if (at % 11 === 5) {
        const answer = await send('POST', `/storm/undone?email=${email}`);
        if (answer.ok) storm.undone.push(email);
      } else if (at % 31 === 12) {
        const answer = await send('POST', `/storm/held?email=${email}&ms=150`);
        if (answer.ok) storm.held++;
      } else if (id !== undefined && at % 7 === 3) {
        const answer = await send('DELETE', `/users/${id}`);
        if (answer.status === 204) deleted.add(id);
        own.splice(own.indexOf(id), 1);
      } else if (id !== undefined && at % 2 === 0) {
        const answer = await send('PATCH', `/users/${id}`, { attributes: { at } });
        if (answer.ok) versions.set(id, ((await answer.json()) as User).version);
      } else {
        const answer = await send('POST', '/users', { name, email, attributes: { at } });
        if (answer.status !== 201) continue;
        const user = (await answer.json()) as User;
        created.set(user.id, email);
        own.push(user.id);
      }
    } catch {
      await wait(20); // that service is gone at the moment
    }
  }
}

async function start(
  t: Test,
  databaseUrl: string,
  replicas: number,
): Promise<{ services: Service[]; ports: number[] }> {
  const ports = await Promise.all(Array.from({ length: replicas }, () => freePort()));
  const services = [];
  for (const port of ports) services.push(await startReplica(t, databaseUrl, port));
  return { services, ports };
}

function startReplica(t: Test, databaseUrl: string, port: number): Promise<Service> {
  const env = {
    DATABASE_URL: databaseUrl,
    LOG_LEVEL: 'info',
    PORT: String(port),
    WEBHOOK_ALLOWED_NETWORKS: '127.0.0.0/8',
  };
  return startService(t, env, 'test/support/storm-service.ts');
}

onEachDatabase(
  `after ${KILLS} times kill -9 among ${WRITERS} writers the table, the log, what a follower saw and what a webhook took are the same`,
  async (t, dialect) => {
    const databaseUrl = await emptyDatabase(t, dialect);
    const { services, ports } = await start(t, databaseUrl, dialect === 'postgresql' ? 2 : 1);
    const storm: Storm = {
      bases: ports.map((port) => `http://127.0.0.1:${port}`),
      over: false,
      acknowledged: { created: new Map(), versions: new Map(), deleted: new Set() },
      undone: [],
      held: 0,
    };
    const taken: Taken = { ids: new Map(), changes: [] };
    const receiver = await startReceiver(t, ({ id, body: { data } }, response) => {
      response.writeHead(204).end();
      take(taken, id, data);
    });
    await checkedFetch(`${storm.bases[0]}/webhooks`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ url: receiver.url }),
    });
    let head = Number.POSITIVE_INFINITY;
    let following: Follower | undefined;
    let cuts = 0;
    const writers = Array.from({ length: WRITERS }, (_, at) => writer(storm, `w${at}`));
    const isDone = (lastEventId: string) => Number(lastEventId) >= head;
    const follows = followThrough(storm.bases, isDone, (follower) => {
      following = follower;
    });

    for (let kill = 0; kill < KILLS; kill++) {
      const at = kill % services.length;
      const service = services[at];
      const port = ports[at];
      if (service === undefined || port === undefined) throw new Error('no such service');
      // Killed at another moment each time, and the stream cut twice before.
      for (let half = 1; half <= 2; half++) {
        await service.said(/"status":20[14]/, half * (1 + ((kill * 7) % 20)));
        following?.cut();
        cuts++;
      }
      await service.end('SIGKILL');
      services[at] = await startReplica(t, databaseUrl, port);
    }
    // On a slow machine the kills may have cut off each transaction held open: the storm goes on until one was not.
    while (storm.held === 0 || storm.undone.length <= KILLS) await wait(20);
    storm.over = true;
    await Promise.all(writers);

    const [base = ''] = storm.bases;
    const log = await readAll<Change>(base, '/changes?limit=1000');
    const users = await readAll<User>(base, '/users?limit=1000');
    head = log.at(-1)?.position ?? 0;
    const seen = await follows;

    t.ok(cuts >= 2 * KILLS);
    t.ok(storm.undone.length > KILLS);
    t.ok(storm.held > 0, `${storm.held} transactions were held open while others committed`);
    t.ok(log.length > 10 * KILLS, `${log.length} changes`);
    t.strictSame(followerSawAll(seen, log), [], 'the follower saw each once, in order');
    t.strictSame(logRebuildsTable(log, users), [], 'the log from its start gives the table');

    await receiver.until(() => log.every(({ position }) => taken.ids.has(position)));
    t.strictSame(
      webhookTookAll(taken, log),
      [],
      'the webhook took each, under one id, those of a user in order',
    );
    t.strictSame(versionsInLine(log), [], 'of each user one version after the other');
    const versions = new Map(log.map(({ userId, version }) => [userId, version]));

    const emails = new Set(log.flatMap(({ user }) => (user === null ? [] : [user.email])));
    t.strictSame(
      storm.undone.filter((email) => emails.has(email)),
      [],
      `nothing of ${storm.undone.length} undone ones`,
    );
    const { created, deleted } = storm.acknowledged;
    t.strictSame(
      [...created].filter(([, email]) => !emails.has(email)),
      [],
      `all ${created.size} acknowledged creates are in the log`,
    );
    const short = [...storm.acknowledged.versions].filter(
      ([id, version]) => (versions.get(id) ?? 0) < version,
    );
    t.strictSame(short, [], 'and all acknowledged patches');
    const gone = new Set(log.filter(({ type }) => type === 'user.deleted').map(({ userId }) => userId));
    t.strictSame(
      [...deleted].filter((id) => !gone.has(id)),
      [],
      'and all acknowledged deletes',
    );
  },
);
