import { once } from 'node:events';
import { createServer, get, type IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { freedBody } from '../src/transfers/freed.ts';

const PIECES = 20;
/** Some are smaller than what a stream takes before it says that it is full, some larger. */
const SIZES = [200_000, 3000, 40_000, 70_000];

function pieceOf(n: number): Buffer {
  const piece = Buffer.from(new ArrayBuffer(SIZES[n % SIZES.length] ?? 0));
  return piece.fill(`${n} `);
}

async function* numbered(made: Buffer[]) {
  for (let n = 0; n < PIECES; n++) {
    made.push(pieceOf(n));
    yield made[n] as Buffer;
  }
}

const WHOLE = Buffer.concat(Array.from({ length: PIECES }, (_, n) => pieceOf(n)));
const held = (made: readonly Buffer[]) => made.filter(({ length }) => length > 0).length;

/** A connection that takes what is written and says so when it is told to. */
class Connection extends Writable {
  /** What is being written, and how it was when that began. */
  writing: { chunk: Buffer; was: Buffer }[] = [];
  readonly written: Buffer[] = [];
  #done: () => void = () => {};

  constructor() {
    super({ decodeStrings: true });
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this._writev([{ chunk }], done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.writing = chunks.map(({ chunk }) => ({ chunk, was: Buffer.from(chunk) }));
    this.#done = done;
  }

  /** Whether all that is being written is as it was. */
  get isIntact(): boolean {
    return this.writing.every(({ chunk, was }) => chunk.equals(was));
  }

  writes(): void {
    this.written.push(...this.writing.map(({ was }) => was));
    this.writing = [];
    const done = this.#done;
    this.#done = () => {};
    done();
  }
}

function answerOf(minor: number): ServerResponse {
  const request = { method: 'GET', httpVersionMajor: 1, httpVersionMinor: minor, headers: {} };
  const answer = new ServerResponse(request as IncomingMessage);
  answer.on('error', () => {});
  return answer;
}

function assign(answer: ServerResponse, connection: Connection): void {
  connection.on('drain', () => answer.emit('drain')); // as Node's server does
  answer.assignSocket(connection as unknown as Socket);
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await nextTurn();
}

/** Lets write after write end, until there is none; what is being written must be as it was when that began. */
async function writeAll(t: Test, connection: Connection, look = () => {}): Promise<void> {
  for (await turns(); connection.writing.length > 0; await turns()) {
    if (!connection.isIntact) t.fail('what is being written has changed');
    look();
    connection.writes();
  }
}

for (const [title, minor, isLate] of [
  ['in chunks', 1, false],
  ['as HTTP/1.0', 0, false],
  ['behind another answer on the connection', 1, true],
] as const) {
  t.test(`pieces are freed once they are written, ${title}`, async (t) => {
    const made: Buffer[] = [];
    const [answer, connection] = [answerOf(minor), new Connection()];
    if (!isLate) assign(answer, connection);
    freedBody(numbered(made), answer).pipe(answer);
    await turns();
    if (isLate) {
      t.equal(held(made), made.length);
      assign(answer, connection);
    }
    let most = 0;
    await writeAll(t, connection, () => {
      most = Math.max(most, held(made));
    });
    t.equal(made.length, PIECES);
    t.ok(most <= 8, `${most} at once`);
    t.ok(held(made) <= 3, `${held(made)} are left`);
    const sent = Buffer.concat(connection.written);
    const end = sent.subarray(sent.indexOf('\r\n\r\n') + 4);
    if (minor === 0) t.ok(end.equals(WHOLE), 'every byte arrived');
    else t.ok(end.toString('latin1').endsWith('\r\n0\r\n\r\n'), 'it is whole');
  });
}

for (const [title, leave] of [
  ['its connection is destroyed', (_answer, connection) => connection.destroy()],
  ['its connection is ended', (_answer, connection) => connection.end()],
  ['it is ended before the body', (answer) => answer.end()],
] as [string, (answer: ServerResponse, connection: Connection) => void][]) {
  t.test(`what is being written is not freed when, in the middle of an answer, ${title}`, async (t) => {
    for (let writes = 0; writes < 8; writes++) {
      const made: Buffer[] = [];
      const next = [Promise.withResolvers<void>()];
      const [answer, connection] = [answerOf(1), new Connection()];
      connection.on('error', () => {});
      assign(answer, connection);
      const pieces = async function* () {
        for await (const piece of numbered(made)) {
          yield piece;
          await next.at(-1)?.promise; // the next comes when it is told to, whatever has happened meanwhile
          next.push(Promise.withResolvers());
        }
      };
      const body = freedBody(pieces(), answer).on('error', () => {});
      body.pipe(answer);
      for (let one = 0; one < writes; one++) {
        await turns();
        next.at(-1)?.resolve();
        await turns();
        if (one % 2 === 0) connection.writes();
      }
      await turns();
      t.ok(connection.isIntact);
      leave(answer, connection);
      for (let one = 0; one < 4; one++) {
        next.at(-1)?.resolve();
        await turns();
        t.ok(connection.isIntact, `after ${writes} pieces, and ${one} more`);
      }
      body.destroy();
    }
  });
}

t.test('nothing is freed that goes through something in between', async (t) => {
  const made: Buffer[] = [];
  const [answer, connection] = [answerOf(0), new Connection()];
  assign(answer, connection);
  freedBody(numbered(made), answer).pipe(new PassThrough()).pipe(answer);
  await writeAll(t, connection);
  t.equal(held(made), PIECES);
  const sent = Buffer.concat(connection.written);
  t.ok(sent.subarray(sent.indexOf('\r\n\r\n') + 4).equals(WHOLE));
});

t.test('texts are sent as they are, and pieces that share their memory are let be', async (t) => {
  const shared = Buffer.from(new ArrayBuffer(40_001)).subarray(1).fill('s');
  const pieces = async function* () {
    yield '';
    yield 'head\n';
    yield shared;
    yield 'é'.repeat(50_000);
    yield shared;
  };
  const server = createServer((_request, answer) => freedBody(pieces(), answer).pipe(answer));
  t.equal(await textFrom(t, server), `head\n${'s'.repeat(40_000)}${'é'.repeat(50_000)}${'s'.repeat(40_000)}`);
  t.equal(shared.length, 40_000);
});

t.test('every byte arrives over a real connection', async (t) => {
  const made: Buffer[] = [];
  const pieces = async function* () {
    for (let round = 0; round < 5; round++) yield* numbered(made.splice(0));
  };
  const server = createServer((_request, answer) => freedBody(pieces(), answer).pipe(answer));
  t.ok((await textFrom(t, server)) === WHOLE.toString().repeat(5));
});

async function textFrom(t: Test, server: ReturnType<typeof createServer>): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const request = get({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', agent: false });
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  return Buffer.concat(await answer.toArray()).toString();
}
