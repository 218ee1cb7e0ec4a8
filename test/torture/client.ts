import { Agent, request } from 'undici';
import { checkAnswer } from '../support/fetch.ts';
import type { Fate } from './history.ts';

export interface Reply {
  fate: Fate;
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: unknown;
}

interface Options {
  json?: object;
  text?: string;
  headers?: Record<string, string>;
}

/** Answers that say nothing of whether the write was made. */
const UNSAID = /muster:commit-failed/;

/**
 * Sends requests and judges the answers. A connection that breaks off, a time that is over, and the answer
 * `commit-failed` leave open what became of a write; a connection that was never made, and every other refusal, do not.
 */
export class Client {
  /** What was answered against the API document, and what was answered 500. */
  readonly undocumented: string[] = [];
  readonly statuses = new Map<number, number>();
  readonly #agent = new Agent({ connections: 64, bodyTimeout: 10_000, headersTimeout: 10_000 });

  async send(
    base: string,
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    url: string,
    options: Options = {},
  ): Promise<Reply> {
    const { json, text = json && JSON.stringify(json) } = options;
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    try {
      const { statusCode, headers, body } = await request(`${base}${url}`, {
        method,
        headers: { ...(text !== undefined && { 'content-type': type }), ...options.headers },
        ...(text !== undefined && { body: text }),
        dispatcher: this.#agent,
        signal: AbortSignal.timeout(10_000),
      });
      const answer = await body.text();
      this.#judge({ method, url, statusCode, headers, body: answer });
      const isJson = /json/.test(String(headers['content-type']));
      return {
        fate: statusCode < 300 ? 'acknowledged' : UNSAID.test(answer) ? 'unknown' : 'refused',
        status: statusCode,
        headers,
        body: isJson ? JSON.parse(answer) : answer,
      };
    } catch (error) {
      const isUnsent = error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
      return { fate: isUnsent ? 'refused' : 'unknown', status: 0, headers: {}, body: undefined };
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  #judge(exchange: Parameters<typeof checkAnswer>[0]): void {
    const { statusCode, method, url, body } = exchange;
    this.statuses.set(statusCode, (this.statuses.get(statusCode) ?? 0) + 1);
    // It is documented everywhere, and still says that nobody has thought of this.
    if (statusCode === 500)
      this.undocumented.push(`${method} ${url} was answered 500: ${body.slice(0, 300)}`);
    try {
      checkAnswer(exchange);
    } catch (error) {
      this.undocumented.push(error instanceof Error ? error.message : String(error));
    }
  }
}
