import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Change } from './log.ts';
import type { Owner } from './owner.ts';

/** Tests receive on this machine, which webhooks do not reach by default. */
export const LOCAL = { webhookAllowedNetworks: '127.0.0.0/8' };

export interface Received {
  id: string;
  headers: IncomingHttpHeaders;
  path: string;
  text: string;
  body: { type: string; timestamp: string; data: Change };
  at: number;
}

export interface Receiver {
  url: string;
  received: Received[];
  /** Waits until what has been received is as `wanted` says. */
  until(wanted: (received: Received[]) => boolean): Promise<Received[]>;
  close(): Promise<void>;
}

type Answer = (message: Received, response: ServerResponse) => void;

/** A receiver of webhooks on this machine. It acknowledges everything unless `answer` does something else. */
export async function startReceiver(
  owner: Owner,
  answer: Answer = (_message, response) => response.writeHead(204).end(),
): Promise<Receiver> {
  const received: Received[] = [];
  const waiting = new Set<() => void>();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return; // the sender was killed
    }
    const text = Buffer.concat(chunks).toString('utf8');
    const message: Received = {
      id: String(request.headers['webhook-id']),
      headers: request.headers,
      path: request.url ?? '',
      text,
      body: text === '' ? undefined : JSON.parse(text),
      at: performance.now(),
    };
    received.push(message);
    answer(message, response);
    for (const one of waiting) one();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  owner.teardown(close);
  return {
    url: `http://127.0.0.1:${port}/hook?from=muster`,
    received,
    close,
    async until(wanted) {
      while (!wanted(received)) {
        await new Promise<void>((resolve) => {
          waiting.add(resolve);
        });
        waiting.clear();
      }
      return received;
    },
  };
}

/**
 * Whether a message is signed by this secret, by the words of the Standard Webhooks specification and nothing else: the
 * HMAC-SHA256 of `id.timestamp.body` by what `whsec_` is followed by, one of the signatures that begin with `v1,`.
 */
export function isSignedBy(secret: string, { headers, text }: Received): boolean {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${text}`;
  const expected = createHmac('sha256', key).update(signed).digest();
  return String(headers['webhook-signature'])
    .split(' ')
    .filter((one) => one.startsWith('v1,'))
    .map((one) => Buffer.from(one.slice(3), 'base64'))
    .some((one) => one.length === expected.length && timingSafeEqual(one, expected));
}
