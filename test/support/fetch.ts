import { readFile } from 'node:fs/promises';
import { createDocumentCheck } from './documented.ts';

const document = JSON.parse(await readFile(new URL('../../openapi.json', import.meta.url), 'utf8'));

/** Throws when an answer is not as `openapi.json` says. Another test holds that to what is served. */
export const checkAnswer = createDocumentCheck(document);

/** `fetch` over the network that also holds the answer to the API document. */
export async function fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const request = new Request(input, init);
  const { pathname, search } = new URL(request.url);
  const { method } = request;
  const response = await globalThis.fetch(request);
  checkAnswer({
    method,
    url: pathname + search,
    statusCode: response.status,
    headers: Object.fromEntries(response.headers),
    body: await response.clone().text(),
  });
  return response;
}

/** A whole list, page by page. */
export async function readAll<T>(base: string, path: string): Promise<T[]> {
  const all: T[] = [];
  for (let url: string | undefined = path; url !== undefined; ) {
    const page: Response = await fetch(`${base}${url}`);
    if (!page.ok) throw new Error(`GET ${url}: ${page.status}`);
    all.push(...((await page.json()) as T[]));
    url = /<(.+)>/.exec(page.headers.get('link') ?? '')?.[1];
  }
  return all;
}
