import type { FastifyInstance, FastifyReply } from 'fastify';
import plugin from 'fastify-plugin';
import { TooMany } from '../errors.ts';
import { limitKey } from './client.ts';

declare module 'fastify' {
  interface FastifyInstance {
    streams: Streams;
  }
  interface FastifyRequest {
    /** Whether it is answered with an event stream. */
    isStream: boolean;
  }
}

/**
 * The event streams that are open. Each holds a connection and memory for as long as its client likes, so none may have
 * too many of them.
 */
export class Streams {
  readonly #most: number;
  readonly #byClient = new Map<string, number>();
  #open = 0;

  constructor(mostPerClient: number) {
    this.#most = mostPerClient;
  }

  get open(): number {
    return this.#open;
  }

  /** @throws {TooMany} when its client has as many as one may have */
  enter({ request, raw }: FastifyReply): void {
    const client = limitKey(request);
    const many = this.#byClient.get(client) ?? 0;
    if (many >= this.#most) throw tooManyStreams(this.#most);
    request.isStream = true;
    this.#open++;
    this.#byClient.set(client, many + 1);
    raw.once('close', () => {
      this.#open--;
      const left = (this.#byClient.get(client) ?? 1) - 1;
      if (left === 0) this.#byClient.delete(client);
      else this.#byClient.set(client, left);
    });
  }
}

export function tooManyStreams(most: number): TooMany {
  return new TooMany('too-many-streams', `One client may have ${most} streams open at once.`);
}

export default plugin(
  async (app: FastifyInstance, { mostPerClient }: { mostPerClient: number }) => {
    app.decorate('streams', new Streams(mostPerClient));
    app.decorateRequest('isStream', false);
  },
  { name: 'streams', dependencies: ['problem'] },
);
