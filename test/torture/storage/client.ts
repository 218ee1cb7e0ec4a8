import type { FastifyInstance, InjectOptions } from 'fastify';
import { checkAnswer } from '../../support/fetch.ts';

export interface Answer {
  status: number;
  headers: Readonly<Record<string, string | string[] | number | undefined>>;
  text: string;
}

export interface Message {
  json?: object;
  body?: string;
  headers?: Record<string, string>;
}

/** Sends a request and gives the answer; undefined when none came. */
export type Send = (
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  url: string,
  message?: Message,
) => Promise<Answer | undefined>;

/** To an app in this process. */
export function sendTo(app: FastifyInstance): Send {
  return async (method, url, message = {}) => {
    const { headers, payload } = requestOf(method, message);
    const options: InjectOptions = { method, url, headers, ...(payload !== undefined && { payload }) };
    const response = await app.inject(options);
    return checked(method, url, {
      status: response.statusCode,
      headers: response.headers,
      text: response.payload,
    });
  };
}

/** A service that has not answered by then does not. */
const LIMIT_MS = 20_000;

/** Over the network. */
export function sendOver(base: string, authorization?: string): Send {
  return async (method, url, message = {}) => {
    const { headers: own, payload } = requestOf(method, message);
    const headers = { ...(authorization !== undefined && { authorization }), ...own };
    try {
      const signal = AbortSignal.timeout(LIMIT_MS);
      const init = { method, headers, signal, ...(payload !== undefined && { body: payload }) };
      const response = await fetch(`${base}${url}`, init);
      const text = await response.text();
      return checked(method, url, {
        status: response.status,
        headers: Object.fromEntries(response.headers),
        text,
      });
    } catch (error) {
      if (error instanceof Undocumented) throw error;
      return undefined;
    }
  };
}

class Undocumented extends Error {}

function checked(method: string, url: string, answer: Answer): Answer {
  const { status, headers, text } = answer;
  try {
    checkAnswer({ method, url, statusCode: status, headers, body: text });
  } catch (error) {
    throw new Undocumented(error instanceof Error ? error.message : String(error));
  }
  return answer;
}

function requestOf(method: string, { json, body, headers }: Message) {
  const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
  const payload = json === undefined ? body : JSON.stringify(json);
  return { payload, headers: { ...(payload !== undefined && { 'content-type': type }), ...headers } };
}

/** All pages of a list, or of the log. */
export async function readAll<T>(send: Send, path: string): Promise<T[]> {
  const all: T[] = [];
  for (let url: string | undefined = path; url !== undefined; ) {
    const page: Answer | undefined = await send('GET', url);
    if (page?.status !== 200) throw new Error(`GET ${url} was answered ${page?.status}: ${page?.text}`);
    all.push(...(JSON.parse(page.text) as T[]));
    url = /<(.+)>/.exec(String(page.headers.link ?? ''))?.[1];
  }
  return all;
}
