import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { User } from '../../../src/users/users.schemas.ts';
import { readVitals } from '../calm.ts';
import type { Fault } from '../fault.ts';
import { type Scene, torment } from '../torment.ts';

/** Streams that never read, for each service. One client may have 100 of them by default. */
const SLOW_READERS = 200;
/** So large that none fits into the buffers between a service and a client that does not read. */
const LARGE = 'x'.repeat(15_000);
const LARGE_WRITES = 400;

/** What a client sends before it goes silent: nothing, half of a head, half of a body, a whole request. */
const BEGINNINGS = [
  '',
  'POST /users HTTP/1.1\r\nhost: localhost\r\ncontent-ty',
  'POST /users HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 60\r\n\r\n{"name":"Nob',
  'POST /users/import HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\ntransfer-encoding: chunked\r\n\r\nb\r\nname,email\n\r\n',
  'GET /users?limit=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n',
];

const STREAM = 'GET /changes?after=0 HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n';
const LARGE_ANSWERS = [
  'GET /users?limit=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n',
  'GET /users/export HTTP/1.1\r\nhost: localhost\r\n\r\n',
];

/**
 * Who does not read an answer is let go after 60 seconds without a byte, or twice that, because Node forgives a queue that
 * has changed once: the short form has no time for it.
 */
const UNREAD_ANSWERS_MS = 150_000;

async function leaveAnswers(scene: Scene): Promise<void> {
  for (const base of scene.bases)
    for (const request of LARGE_ANSWERS) for (let n = 0; n < 10; n++) await open(scene, base, request);
  scene.count('large answers', scene.bases.length * LARGE_ANSWERS.length * 10);
}

/** @throws when the services do not have them all: then nothing would be tried */
async function untilOpen(bases: readonly string[]): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const open = await Promise.all(bases.map(async (base) => (await readVitals(base)).streams));
    const sum = open.reduce((all, one) => all + one, 0);
    if (sum >= SLOW_READERS) return;
    if (attempt === 10) throw new Error(`only ${sum} of ${SLOW_READERS} streams were opened`);
    await wait(1100);
  }
}

async function writeLarge({ bases, client, history, round }: Scene, n: number): Promise<void> {
  const mark = `large.${round}.${n}`;
  const json = { name: 'Large', email: `${mark}@example.com`, attributes: { mark, text: LARGE } };
  const { fate, body } = await client.send(bases[n % bases.length] ?? '', 'POST', '/users', { json });
  const answer = body as User;
  const isMade = fate === 'acknowledged';
  history.acts.push({ does: 'create', mark, fate, changes: 1, ...(isMade && { answer, userId: answer.id }) });
}

async function open({ life }: Scene, base: string, text: string): Promise<Socket> {
  const { port } = new URL(base);
  const socket = connect(Number(port), '127.0.0.1').on('error', () => {});
  life.teardown(() => socket.destroy());
  await once(socket, 'connect');
  socket.pause();
  if (text !== '') socket.write(text);
  return socket;
}

/** For closes that have come to be read. */
const CLOSED_WITHIN_MS = 20_000;

/** What did not become of the sockets: each has to be closed by the service. */
export function leftOpen(sockets: readonly Pick<Socket, 'readyState'>[]): string[] {
  const left = sockets.filter(({ readyState }) => readyState !== 'closed').length;
  return left === 0 ? [] : [`${left} of ${sockets.length} silent connections are still open`];
}

export const halfOpenClients: Fault = {
  name: 'half-open-clients',
  what: 'hundreds of clients go silent in the middle of a request, and never read or close',
  databases: ['sqlite', 'postgresql'],
  run(setting) {
    const sockets: Socket[] = [];
    return torment(setting, {
      rounds: 4,
      env: { REQUEST_TIMEOUT_MS: '5000' },
      async strike(scene) {
        for (const base of scene.bases)
          for (const beginning of BEGINNINGS)
            for (let n = 0; n < 15; n++) sockets.push(await open(scene, base, beginning));
        scene.count('silent clients', scene.bases.length * BEGINNINGS.length * 15);
        await scene.acknowledged(150);
      },
      judge: async () => {
        for (const socket of sockets) socket.resume(); // else an end that has come is not seen
        for (const until = performance.now() + CLOSED_WITHIN_MS; performance.now() < until; await wait(50))
          if (leftOpen(sockets).length === 0) break;
        return leftOpen(sockets);
      },
    });
  },
};

export const slowReaders: Fault = {
  name: 'slow-readers',
  what: `${SLOW_READERS} event streams of clients that never read, while changes are made that fill their buffers`,
  databases: ['sqlite', 'postgresql'],
  run(setting) {
    return torment(setting, {
      rounds: 1,
      calmWithinMs: setting.scale > 1 ? UNREAD_ANSWERS_MS : undefined,
      env: { MAX_STREAMS_PER_CLIENT: '1000' },
      async strike(scene) {
        const { bases, count } = scene;
        for (const base of bases)
          for (let n = 0; n < SLOW_READERS / bases.length; n++) await open(scene, base, STREAM);
        await untilOpen(bases);
        count('streams', SLOW_READERS);
        for (let n = 0; n < LARGE_WRITES; n += 10)
          await Promise.all(Array.from({ length: 10 }, (_, more) => writeLarge(scene, n + more)));
        if (setting.scale > 1) await leaveAnswers(scene);
        await scene.acknowledged(100);
      },
    });
  },
};
