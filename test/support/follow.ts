import { type ClientRequest, get, type IncomingMessage } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import type { Change } from './log.ts';

export interface StreamEvent {
  id: string;
  event: string;
  data: Record<string, unknown>;
}

/** A client of an event stream (HTML §9.2.6), as plain as can be: one connection, nothing is done again. */
export class Follower {
  readonly events: StreamEvent[] = [];
  /** The last event id, which also a block without data sets. */
  lastEventId = '';
  /** Resolves when the stream is over, whoever ended it. */
  readonly ended: Promise<void>;
  readonly answered: Promise<IncomingMessage>;
  readonly #request: ClientRequest;
  #waiting: (() => void)[] = [];
  #text = '';

  constructor(base: string, path: string, headers: Record<string, string> = {}) {
    const over = Promise.withResolvers<void>();
    const answered = Promise.withResolvers<IncomingMessage>();
    this.ended = over.promise;
    this.answered = answered.promise;
    this.answered.catch(() => {});
    this.#request = get(`${base}${path}`, {
      headers: { accept: 'text/event-stream', ...headers },
      agent: false,
    });
    this.#request.on('error', (error) => {
      answered.reject(error);
      over.resolve();
    });
    this.#request.on('response', (response) => {
      answered.resolve(response);
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => this.#read(chunk));
      response.on('error', () => over.resolve());
      response.on('close', () => over.resolve());
    });
  }

  /** The changes among the events. */
  get changes(): Change[] {
    return this.events
      .filter(({ event }) => event !== 'position')
      .map(({ data }) => data as unknown as Change);
  }

  /** Waits until `condition` holds, or the stream is over. */
  async until(condition: (follower: this) => boolean): Promise<void> {
    let over = false;
    void this.ended.then(() => {
      over = true;
    });
    while (!condition(this) && !over) {
      await Promise.race([this.ended, new Promise<void>((resolve) => this.#waiting.push(resolve))]);
    }
  }

  cut(): void {
    this.#request.destroy();
  }

  #read(chunk: string): void {
    this.#text += chunk;
    const blocks = this.#text.split('\n\n');
    this.#text = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = new Map<string, string>();
      for (const line of block.split('\n')) {
        const colon = line.indexOf(': ');
        fields.set(line.slice(0, colon), line.slice(colon + 2));
      }
      this.lastEventId = fields.get('id') ?? this.lastEventId;
      const data = fields.get('data');
      if (data === undefined) continue;
      this.events.push({ id: this.lastEventId, event: fields.get('event') ?? '', data: JSON.parse(data) });
    }
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/**
 * Follows the log from its start, at whatever service answers, and knows nothing but its last event: through streams that
 * break off, until `isDone`. Gives all that it has seen. Each new connection is told to `connected`, who may cut it.
 */
export async function followThrough(
  bases: readonly string[],
  isDone: (lastEventId: string) => boolean,
  connected: (follower: Follower) => void = () => {},
): Promise<Change[]> {
  const seen: Change[] = [];
  let lastEventId = '0';
  for (let at = 0; !isDone(lastEventId); at++) {
    const follower = new Follower(bases[at % bases.length] ?? '', '/changes', {
      'last-event-id': lastEventId,
    });
    connected(follower);
    const look = setInterval(() => isDone(follower.lastEventId || lastEventId) && follower.cut(), 50);
    await follower.ended;
    clearInterval(look);
    seen.push(...follower.changes);
    if (follower.lastEventId !== '') lastEventId = follower.lastEventId;
    else await wait(20);
  }
  return seen;
}
