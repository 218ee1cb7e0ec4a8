import { randomNumbers } from './random.ts';

/** Half look-ups, three tenths lists of 1,000, a fifth creates. */
export function mixOf(port: number, seed: number, users: number, tag: string): () => string {
  const random = randomNumbers(seed);
  const head = `HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n`;
  const list = `GET /users?limit=1000 ${head}\r\n`;
  let created = 0;
  return () => {
    const dice = random();
    if (dice < 0.5) return `GET /users/${1 + Math.floor(random() * users)} ${head}\r\n`;
    if (dice < 0.8) return list;
    return create(head, `${tag}.${++created}`);
  };
}

export function creates(port: number, tag: string): () => string {
  let created = 0;
  return () => create(`HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n`, `${tag}.${++created}`);
}

function create(head: string, name: string): string {
  const attributes = { team: 'compilers', note: 'x'.repeat(100) };
  const body = JSON.stringify({ name, email: `${name}@example.com`, attributes });
  return `POST /users ${head}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}
