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
class Streams {
  readonly #most: number;
  readonly #byClient = new Map<string, number>();
  open = 0;

  constructor(mostPerClient: number) {
    this.#most = mostPerClient;
  }

  /** @throws {TooMany} when its client has as many as one may have */
  enter({ request, raw }: FastifyReply): void {
    const client = limitKey(request);
    if ((this.#byClient.get(client) ?? 0) >= this.#most)
      throw new TooMany('too-many-streams', `One client may have ${this.#most} streams open at once.`);
    request.isStream = true;
    this.#count(client, 1);
    raw.once('close', () => this.#count(client, -1));
  }

  #count(client: string, change: 1 | -1): void {
    this.open += change;
    const many = (this.#byClient.get(client) ?? 0) + change;
    if (many === 0) this.#byClient.delete(client);
    else this.#byClient.set(client, many);
  }
}

export default plugin(
  async (app: FastifyInstance, { mostPerClient }: { mostPerClient: number }) => {
    app.decorate('streams', new Streams(mostPerClient));
    app.decorateRequest('isStream', false);
  },
  { name: 'streams', dependencies: ['problem'] },
);
