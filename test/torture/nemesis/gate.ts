import { connect, createServer, type Socket } from 'node:net';
import type { Life } from '../../support/owner.ts';

/** Stands between a service and its database, and treats what passes as a bad network does. */
export interface Gate {
  port: number;
  /** From now on nothing passes, and nobody is told: connections are half open. New ones are taken, and as silent. */
  silence(): void;
  /** Lets new connections pass; those of before stay silent, as behind a router that has forgotten them. */
  pass(): void;
  /** Breaks all connections off. */
  cut(): void;
  /** Breaks off each connection once so many bytes more have come from the service: in the middle of a message. */
  cutAfter(bytes: number): void;
}

export async function startGate(life: Life, targetPort: number): Promise<Gate> {
  const pairs = new Set<[Socket, Socket]>();
  let isSilent = false;
  const server = createServer((client) => {
    const target = connect(targetPort, '127.0.0.1');
    const pair: [Socket, Socket] = [client, target];
    pairs.add(pair);
    for (const [from, to] of [pair, [target, client] as const]) {
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        pairs.delete(pair);
      });
      from.pipe(to);
    }
    if (isSilent) hush(pair);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  const cut = () => {
    for (const sockets of pairs) for (const socket of sockets) socket.destroy();
  };
  life.teardown(async () => {
    cut();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    port: address.port,
    silence() {
      isSilent = true;
      for (const pair of pairs) hush(pair);
    },
    pass() {
      isSilent = false;
    },
    cut,
    cutAfter(bytes) {
      for (const pair of pairs) {
        let left = bytes;
        pair[0].on('data', (chunk: Buffer) => {
          left -= chunk.length;
          if (left <= 0) for (const socket of pair) socket.destroy();
        });
      }
    },
  };
}

function hush([client, target]: [Socket, Socket]): void {
  client.unpipe(target).pause();
  target.unpipe(client).pause();
}
