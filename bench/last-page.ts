const STEP = 1000;
const PAGE = 100;

/**
 * The path of the last whole page of 100 of a list of `users`: found as a client finds it, by following `Link`
 * from the first page on.
 */
export async function findLastPage(port: number, users: number, sort = 'id'): Promise<string> {
  const origin = `http://127.0.0.1:${port}`;
  let path = `/users?sort=${sort}&limit=${STEP}`;
  for (let seen = 0; seen < users - PAGE; seen += STEP) {
    const left = users - PAGE - seen;
    if (left < STEP) path = withLimit(path, left);
    path = nextOf(await fetch(origin + path));
  }
  const last = withLimit(path, PAGE);
  const response = await fetch(origin + last);
  const rows = (await response.json()) as unknown[];
  if (rows.length !== PAGE || response.headers.has('link')) throw new Error(`${last} is not the last page`);
  return last;
}

function withLimit(path: string, limit: number): string {
  return path.replace(/limit=\d+/, `limit=${limit}`);
}

function nextOf(response: Response): string {
  const next = /<([^>]+)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
  if (next === undefined) throw new Error(`${response.url} has no next page`);
  void response.body?.cancel();
  return next;
}
