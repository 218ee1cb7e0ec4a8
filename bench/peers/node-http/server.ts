import { createServer, type ServerResponse } from 'node:http';
import { environment } from '../environment.ts';

/** The floor: Node's own server with ready answers in memory. No database, no routes, no checks. */
const user = (id: number) => ({
  id,
  name: 'Ada Lovelace',
  email: `ada.${id}@example.com`,
  attributes: { team: 'engines', desk: 7 },
  version: 1,
  createdAt: '2025-01-01T00:00:00.000Z',
  updatedAt: '2025-01-01T00:00:00.000Z',
});
const one = JSON.stringify(user(1));
const list = JSON.stringify(Array.from({ length: 100 }, (_, index) => user(index + 1)));

createServer((request, response) => {
  if (request.method === 'GET') {
    send(response, 200, request.url?.startsWith('/users/') ? one : list);
    return;
  }
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (chunk: string) => {
    body += chunk;
  });
  request.on('end', () => {
    JSON.parse(body);
    send(response, request.method === 'POST' ? 201 : 200, one);
  });
}).listen(environment.port, environment.host);

function send(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    etag: '"1"',
    ...(status === 201 && { location: '/users/1' }),
  });
  response.end(body);
}
