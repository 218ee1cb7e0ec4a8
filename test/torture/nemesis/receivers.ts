import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer, type Server } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { Life } from '../../support/owner.ts';
import type { Fault } from '../fault.ts';
import { type Scene, torment } from '../torment.ts';

const MEGABYTE = Buffer.alloc(2 ** 20, 'x');

/** These lead where none may lead, and nobody even makes a webhook of them. */
const FORBIDDEN = [
  'http://169.254.169.254/latest/meta-data/',
  'http://[::ffff:169.254.169.254]/latest/meta-data/',
  'http://2852039166/latest/meta-data/',
];

/** Receivers that speak HTTP, and what each does to whoever sends it something. */
function answers(trap: string): Record<string, RequestListener> {
  return {
    'never answers': () => {},
    'a byte a second': (_request, response) => {
      response.writeHead(200, { 'content-length': '1000000' });
      const drip = setInterval(() => response.write('x'), 1000);
      response.on('close', () => clearInterval(drip));
    },
    'a gigabyte': (_request, response) => {
      response.writeHead(200, { 'content-length': String(2 ** 30) });
      const pour = () => {
        while (!response.destroyed && response.write(MEGABYTE));
      };
      response.on('drain', pour);
      pour();
    },
    'an endless head': (_request, response) => {
      const drip = setInterval(() => response.socket?.write('HTTP/1.1 200 OK\r\nx: y\r\n'.repeat(500)), 50);
      response.socket?.on('close', () => clearInterval(drip));
    },
    'closes in the middle': (_request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('x');
      response.socket?.destroy();
    },
    'redirects to the metadata address': (_request, response) => {
      response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data/' }).end();
    },
    'redirects home': (_request, response) => response.writeHead(307, { location: trap }).end(),
    'answers nonsense': (_request, response) => {
      response.socket?.end('SSH-2.0-OpenSSH_9.2\r\n');
    },
  };
}

/** Acknowledged as soon as their head says 200: what follows is not read to its end. */
const ACKNOWLEDGE = ['a byte a second', 'a gigabyte', 'closes in the middle'];

async function serve(life: Life, server: Server): Promise<number> {
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => sockets.add(socket.on('error', () => {})));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  life.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}

/** The URLs of them all, by what they do. `trapped` hears of each request that came where none may come. */
async function startReceivers(life: Life, trapped: () => void): Promise<Record<string, string>> {
  const trap = createHttpServer((_request, response) => {
    trapped();
    response.end();
  });
  const trapUrl = `http://127.0.0.1:${await serve(life, trap)}/`;
  const urls: Record<string, string> = {
    'nobody there': 'http://127.0.0.1:1/',
  };
  for (const [name, listener] of Object.entries(answers(trapUrl)))
    urls[name] = `http://127.0.0.1:${await serve(life, createHttpServer(listener))}/`;
  const noTls = createServer((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
  urls['no TLS'] = `https://127.0.0.1:${await serve(life, noTls)}/`;
  return urls;
}

export const hostileReceivers: Fault = {
  name: 'hostile-receivers',
  what: 'webhooks lead to a dozen receivers: silent, dripping, endless, broken, redirecting to the metadata address',
  databases: ['sqlite', 'postgresql'],
  run(setting) {
    const ids = new Map<string, number>();
    const broken: string[] = [];
    let isRelenting = false;
    let late = 0;
    return torment(setting, {
      rounds: 3,
      async prepare(scene) {
        const { bases, client, life, audience } = scene;
        const urls = await startReceivers(life, () => broken.push('a redirect was followed'));
        for (const [name, url] of Object.entries(urls)) {
          const { status, body } = await client.send(bases[0] ?? '', 'POST', '/webhooks', { json: { url } });
          if (status === 201) ids.set(name, (body as { id: number }).id);
          else broken.push(`a webhook to ${url} was answered ${status}`);
        }
        for (const url of FORBIDDEN) {
          const { status } = await client.send(bases[0] ?? '', 'POST', '/webhooks', { json: { url } });
          if (status !== 422) broken.push(`a webhook to ${url} was answered ${status}`);
        }
        late = await audience.listen(life, client, () => isRelenting);
        scene.count('hostile receivers', ids.size);
      },
      async strike(scene) {
        await scene.acknowledged(200);
      },
      async relent(scene) {
        const { bases, client } = scene;
        const [base = ''] = bases;
        for (const [name, id] of ids) {
          broken.push(...(await judge(scene, name, id)));
          await client.send(base, 'DELETE', `/webhooks/${id}`);
        }
        isRelenting = true;
        await client.send(base, 'PATCH', `/webhooks/${late}`, { json: { enabled: true } });
      },
      judge: async () => broken,
    });
  },
};

/** Until its first attempt has failed. */
const TRIED_WITHIN_MS = 60_000;

/** What a webhook says of itself: whether it fails, and how far it has come. */
async function judge({ bases, client }: Scene, name: string, id: number): Promise<string[]> {
  if (ACKNOWLEDGE.includes(name) || name === 'never answers') return [];
  for (const until = performance.now() + TRIED_WITHIN_MS; ; await wait(100)) {
    const { body } = await client.send(bases[0] ?? '', 'GET', `/webhooks/${id}`);
    const { position = 0, failingSince } = (body ?? {}) as { position?: number; failingSince?: string };
    if (failingSince !== undefined && position === 0) return [];
    if (position > 0 || performance.now() > until)
      return [`the webhook to '${name}' was taken for delivered: ${JSON.stringify(body)}`];
  }
}
