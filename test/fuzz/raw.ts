import { connect } from 'node:net';
import fc from 'fast-check';
import type { Answer } from './memory.ts';
import { readAnswer } from './wire.ts';

/*
 * What no client library would send. Of each connection: every answer is one of HTTP and one that is documented, none is
 * a 5xx, nothing is changed, and the service answers the next one.
 */

/** A write as a client of good will sends it, but for its key: it would change something if it were let in. */
const BODY = '{"name":"Mallory","email":"mallory@example.com"}';
const POST = 'POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
const GET = 'GET /users/1 HTTP/1.1\r\nHost: localhost\r\n';
const END = 'Connection: close\r\n\r\n';
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n`;

/** A title, what is sent, and the status of the first answer; 0: the connection may be closed without one. */
const CASES: readonly (readonly [title: string, bytes: string, ...statuses: number[]])[] = [
  ['an empty line first', `\r\n${GET}${END}`, 401],
  ['bare line feeds', `${GET}${END}`.replaceAll('\r\n', '\n'), 400],
  ['bare carriage returns', `${GET}${END}`.replaceAll('\r\n', '\r'), 400, 0],
  ['a folded header', `${GET}X-A: a\r\n b\r\n${END}`, 400],
  ['a folded Host', 'GET /users HTTP/1.1\r\nHost:\r\n localhost\r\nConnection: close\r\n\r\n', 400],
  ['a space before the colon', `${GET}X-A : a\r\n${END}`, 400],
  ['a header without a colon', `${GET}nonsense\r\n${END}`, 400],
  ['a header without a name', `${GET}: a\r\n${END}`, 400],
  ['NUL in a header', `${GET}X-A: a\0b\r\n${END}`, 400],
  ['a control character in a header', `${GET}X-A: a\x01b\r\n${END}`, 400],
  ['a line feed in a header', `${GET}X-A: a\nX-B: b\r\n${END}`, 400],
  ['bytes beyond ASCII in the name of a header', `${GET}X-\xe9: a\r\n${END}`, 400],
  ['a key in a header that is folded', `${GET}Authorization:\r\n Bearer x\r\n${END}`, 400],
  ['a method in small letters', `get /users HTTP/1.1\r\nHost: localhost\r\n${END}`, 400],
  ['a method nobody knows', `MUSTER /users HTTP/1.1\r\nHost: localhost\r\n${END}`, 400],
  ['no version', 'GET /users\r\n\r\n', 400, 401],
  ['a wrong version', `GET /users HTTP/9.9\r\nHost: localhost\r\n${END}`, 400],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['HTTP/1.0 without a Host', 'GET /users/1 HTTP/1.0\r\n\r\n', 401],
  ['two spaces in the first line', `GET  /users HTTP/1.1\r\nHost: localhost\r\n${END}`, 400, 401, 404],
  ['a tab in the first line', `GET\t/users HTTP/1.1\r\nHost: localhost\r\n${END}`, 400],
  ['a space in the path', `GET /us ers HTTP/1.1\r\nHost: localhost\r\n${END}`, 400],
  ['bytes beyond ASCII in the path', `GET /users/\xff HTTP/1.1\r\nHost: localhost\r\n${END}`, 400, 401],
  ['NUL in the path', `GET /users/\0 HTTP/1.1\r\nHost: localhost\r\n${END}`, 400],
  ['a path that is too long', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n${END}`, 431],
  ['an absolute URL', `GET http://localhost/users/1 HTTP/1.1\r\nHost: localhost\r\n${END}`, 401],
  [
    'an absolute URL of another host',
    `GET http://evil.example/users/1 HTTP/1.1\r\nHost: localhost\r\n${END}`,
    401,
  ],
  ['an asterisk', `GET * HTTP/1.1\r\nHost: localhost\r\n${END}`, 400, 404],
  ['OPTIONS of an asterisk', `OPTIONS * HTTP/1.1\r\nHost: localhost\r\n${END}`, 400, 404, 204],
  ['a tunnel', `CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n${END}`, 400, 404, 405, 0],
  [
    'an upgrade to WebSocket',
    `${GET}Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    401,
    400,
  ],
  [
    'an upgrade to HTTP/2',
    `${GET}Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, close\r\n\r\n`,
    401,
    400,
  ],
  ['no Host', `GET /users HTTP/1.1\r\n${END}`, 400],
  ['two Hosts', `${GET}Host: localhost\r\n${END}`, 400],
  ['an empty Host', `GET /users/1 HTTP/1.1\r\nHost:\r\n${END}`, 400, 401],
  ['a thousand headers', `${GET}${'X-A: a\r\n'.repeat(1000)}${END}`, 401, 431],
  ['a header that is too large', `${GET}X-A: ${'a'.repeat(20_000)}\r\n${END}`, 431],
  ['two lengths', `${POST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n${BODY}`, 400],
  ['a list of lengths', `${POST}Content-Length: ${BODY.length}, ${BODY.length}\r\n${END}${BODY}`, 400],
  ['a length with a sign', `${POST}Content-Length: +${BODY.length}\r\n${END}${BODY}`, 400],
  ['a length below zero', `${POST}Content-Length: -1\r\n${END}${BODY}`, 400],
  ['a length in hexadecimal', `${POST}Content-Length: 0x30\r\n${END}${BODY}`, 400],
  ['a length beyond 64 bits', `${POST}Content-Length: 99999999999999999999\r\n${END}${BODY}`, 400],
  ['an empty length', `${POST}Content-Length:\r\n${END}${BODY}`, 400, 401],
  ['a length and chunks', `${CHUNKED}Content-Length: 5\r\n${END}0\r\n\r\n`, 400],
  ['chunks and a length', `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n${END}0\r\n\r\n`, 400],
  ['chunks twice', `${POST}Transfer-Encoding: chunked, chunked\r\n${END}0\r\n\r\n`, 400, 401],
  ['chunks spelt otherwise', `${POST}Transfer-Encoding: xchunked\r\n${END}0\r\n\r\n`, 400, 401],
  ['chunks that are not last', `${POST}Transfer-Encoding: chunked, gzip\r\n${END}0\r\n\r\n`, 400],
  ['chunks behind a tab', `${POST}Transfer-Encoding:\tchunked\r\n${END}0\r\n\r\n`, 401, 400],
  ['chunks in HTTP/1.0', `POST /users HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, 401],
  ['a chunk of no size', `${CHUNKED}${END}zz\r\n${BODY}\r\n0\r\n\r\n`, 400, 401],
  ['a chunk of a size below zero', `${CHUNKED}${END}-1\r\n${BODY}\r\n0\r\n\r\n`, 400, 401],
  ['a chunk beyond 64 bits', `${CHUNKED}${END}fffffffffffffffff\r\n${BODY}`, 400, 401],
  ['a chunk longer than it says', `${CHUNKED}${END}1\r\n${BODY}\r\n0\r\n\r\n`, 400, 401],
  [
    'a chunk with a long extension',
    `${CHUNKED}${END}1;${'a'.repeat(20_000)}\r\na\r\n0\r\n\r\n`,
    400,
    401,
    413,
  ],
  ['a trailer that is a key', `${CHUNKED}${END}0\r\nAuthorization: Bearer x\r\n\r\n`, 401],
  [
    'an expectation that can be met',
    `${POST}Expect: 100-continue\r\nContent-Length: ${BODY.length}\r\n${END}${BODY}`,
    401,
  ],
  ['an expectation that cannot', `${POST}Expect: a-miracle\r\n${END}`, 417],
  ['more than its length', `${POST}Content-Length: 2\r\n\r\n{}${BODY}`, 401],
  ['a request inside a body', `${POST}Content-Length: ${GET.length + 2}\r\n\r\n${GET}\r\n${GET}${END}`, 401],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 0],
  ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n', 400],
  ['nothing but NUL', '\0'.repeat(100), 400],
  ['an emoji', Buffer.from('\u{1f600}\r\n\r\n').toString('latin1'), 400],
];

/** What is asked of the service. */
export interface Target {
  port: number;
  /** @throws {Error} for an answer that is not documented */
  check(answer: Answer): void;
  /** @throws {Error} when something has changed, or the service does not answer any more */
  isUnmoved(): Promise<void>;
}

/** Sends each case, and so many of them with bytes that were changed by chance. Gives how many went over the wire. */
export async function sendRaw(
  target: Target,
  { seed, runs }: { seed: number; runs: number },
): Promise<number> {
  const wrong: string[] = [];
  for (const [title, bytes, ...statuses] of CASES) {
    const [first] = await connection(target, bytes);
    const status = first?.status ?? 0;
    if (!statuses.includes(status)) wrong.push(`${title}: ${status}, not ${statuses.join(' or ')}`);
    await target.isUnmoved();
  }
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
  const pipelined = await connection(target, GET.concat('\r\n').repeat(20) + GET + END);
  if (pipelined.map(({ status }) => status).join() !== Array(21).fill(401).join()) {
    throw new Error(`21 requests at once were answered ${pipelined.map(({ status }) => status)}`);
  }
  await fc.assert(
    fc.asyncProperty(changedBytes, async (bytes) => {
      await connection(target, bytes);
      await target.isUnmoved();
    }),
    { seed, numRuns: runs },
  );
  return CASES.length + 1 + runs;
}

const changedBytes = fc
  .tuple(
    fc.constantFrom(
      ...CASES.map(([, bytes]) => bytes),
      `${POST}Content-Length: ${BODY.length}\r\n${END}${BODY}`,
    ),
    fc.array(
      fc.tuple(
        fc.nat(1000),
        fc.nat(3),
        fc.oneof(
          fc.nat(255).map((code) => String.fromCharCode(code)),
          fc.constantFrom(
            '\r\n',
            '\r\n\r\n',
            ': ',
            ' HTTP/1.1',
            'Transfer-Encoding: chunked\r\n',
            'Content-Length: 3\r\n',
            GET,
          ),
        ),
      ),
      { minLength: 1, maxLength: 4 },
    ),
  )
  .map(([bytes, changes]) =>
    changes.reduce((text, [at, length, put]) => {
      const place = at % (text.length + 1);
      return text.slice(0, place) + put + text.slice(place + length);
    }, bytes),
  )
  .filter((bytes) => bytes.length < 30_000 && !/\/docs|openapi/.test(bytes));

/** All answers that one connection gives; our side ends after what it has sent. */
async function connection({ port, check }: Target, bytes: string): Promise<Answer[]> {
  const socket = connect({ port, host: '127.0.0.1' });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => {}); // reset: closed without an answer
  socket.end(Buffer.from(bytes, 'latin1'));
  await new Promise((resolve) => socket.once('close', resolve));
  const answers: Answer[] = [];
  let rest: Buffer = Buffer.concat(chunks);
  const isHead = /^\s*HEAD /.test(bytes);
  while (rest.length > 0) {
    const read = readAnswer(rest, isHead ? 'HEAD' : 'GET');
    if (read === undefined) throw new Error(`half an answer: ${rest.toString('latin1').slice(0, 300)}`);
    if (read.answer.status >= 500) throw new Error(`an answer of ${read.answer.status}: ${read.answer.text}`);
    if (read.answer.status >= 400) check(read.answer);
    answers.push(read.answer);
    rest = read.rest;
  }
  return answers;
}
