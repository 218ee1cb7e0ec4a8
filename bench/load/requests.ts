import type { WorkName } from '../works.ts';

export interface Work {
  name: WorkName;
  port: number;
  /** How many users there are: look-ups and patches choose among the ids 1 … users. */
  users: number;
  /** Makes the emails of created users differ from those of every other window. */
  tag: string;
  /** Path and query of the last page, where the work asks for it. */
  lastPage?: string;
}

/** Gives one request after the other as the bytes of HTTP/1.1. The same seed for every server: the same work. */
export function requestsOf(work: Work): () => string {
  const random = randomNumbers(0x6d757374);
  const id = () => 1 + Math.floor(random() * work.users);
  const lookup = () => get(work, `/users/${id()}`);
  let created = 0;
  const create = () => {
    created++;
    const body = `{"name":"Grace Hopper ${created}","email":"grace.${work.tag}.${created}@example.com","attributes":{"team":"compilers","desk":${created % 1000}}}`;
    return send(work, 'POST', '/users', body);
  };
  switch (work.name) {
    case 'lookup':
      return lookup;
    case 'list': {
      const request = get(work, '/users?limit=100');
      return () => request;
    }
    case 'list-last': {
      const request = get(work, work.lastPage ?? '/users?limit=100');
      return () => request;
    }
    case 'mixed':
      return () => (random() < 0.9 ? lookup() : create());
    case 'patch': {
      let patched = 0;
      return () => send(work, 'PATCH', `/users/${id()}`, `{"attributes":{"desk":${++patched + 1000}}}`);
    }
    case 'create':
      return create;
  }
}

function get({ port }: Work, path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAccept: application/json\r\n\r\n`;
}

/** `body` is ASCII, so its length is its number of bytes. */
function send({ port }: Work, method: string, path: string, body: string): string {
  return `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAccept: application/json\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

/** mulberry32: numbers in [0, 1) that are the same in each run. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
