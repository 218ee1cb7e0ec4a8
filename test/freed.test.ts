import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { freed } from '../src/transfers/freed.ts';

/** More than the buffers of a connection hold. */
const PIECES = 40;
const BYTES = 400_000;

const pieceOf = (n: number) => {
  const piece = Buffer.from(new ArrayBuffer(BYTES));
  return piece.fill(`${n} `);
};

/** Answers with that many pieces, and notes each. */
async function serve(t: Test, pieces: (made: Buffer[]) => AsyncGenerator<Buffer | string>) {
  const made: Buffer[] = [];
  const ended = Promise.withResolvers<void>();
  const server = createServer((_request, answer) => {
    const body: Readable = Readable.from(
      freed(pieces(made), () => body, answer),
      { objectMode: false },
    );
    answer.once('close', () => {
      body.destroy();
      ended.resolve();
    });
    body.pipe(answer);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const request = get({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', agent: false });
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  return { made, answer, ended: ended.promise };
}

const held = (made: Buffer[]) => made.filter(({ length }) => length > 0).length;

async function* numbered(made: Buffer[]) {
  for (let n = 0; n < PIECES; n++) {
    made.push(pieceOf(n));
    yield made[n] as Buffer;
  }
}

for (const [title, restMs] of [
  ['at once', 0],
  ['slowly', 3],
] as const) {
  t.test(`pieces are freed once they have gone out, to a client that reads ${title}`, async (t) => {
    const { made, answer } = await serve(t, numbered);
    const read: Buffer[] = [];
    let most = 0;
    for await (const chunk of answer) {
      read.push(chunk);
      most = Math.max(most, held(made));
      if (restMs > 0) await sleep(restMs);
    }
    const whole = Buffer.concat(Array.from({ length: PIECES }, (_, n) => pieceOf(n)));
    t.ok(Buffer.concat(read).equals(whole), 'every byte arrived');
    t.equal(made.length, PIECES);
    t.ok(most <= 4, `${most} at once`);
    t.ok(held(made) <= 2, `${held(made)} are left`);
  });
}

t.test('nothing that waits is freed while the client does not read, nor when it leaves', async (t) => {
  const { made, answer, ended } = await serve(t, numbered);
  await once(answer, 'readable');
  let before = -1;
  while (before !== made.length) {
    before = made.length;
    await sleep(200);
  }
  t.ok(made.length < PIECES, `${made.length} were asked for`);
  const left = held(made);
  t.ok(left > 0, `${left} wait`);
  answer.destroy();
  await ended;
  await sleep(50);
  t.equal(held(made), left);
});

t.test('texts, and pieces that share their memory, are let be', async (t) => {
  const shared = Buffer.from(new ArrayBuffer(BYTES + 1))
    .subarray(1)
    .fill('s');
  const { answer } = await serve(t, async function* () {
    yield 'head\n';
    yield shared;
    yield 'é';
    yield shared;
  });
  const text = Buffer.concat(await answer.toArray()).toString();
  t.ok(text === `head\n${'s'.repeat(BYTES)}é${'s'.repeat(BYTES)}`);
  t.equal(shared.length, BYTES);
});
