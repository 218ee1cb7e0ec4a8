import { connect } from 'node:net';
import t from 'tap';
import { emptyDatabase } from './support/databases.ts';
import { fetch } from './support/fetch.ts';
import { startService } from './support/service.ts';

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} finishes what runs, refuses what is new, and ends with 0`, async (t) => {
    const service = await startService(t, { DATABASE_URL: await emptyDatabase(t, 'sqlite') });
    const { port, hostname } = new URL(service.base);
    await fetch(`${service.base}/start-task`);
    // A request that has begun when the signal comes, and ends after it.
    const socket = connect(Number(port), hostname);
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    const body = JSON.stringify({ name: 'Last', email: 'last@example.com' });
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(
      `POST /users HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`,
    );
    // The interim answer says that the route has the request.
    await new Promise((resolve) => socket.once('data', resolve));
    const ended = service.end(signal);
    await service.said(/finishing what runs/);
    socket.write(`${body}`);
    await closed;
    t.match(answer, /HTTP\/1\.1 201 Created/, 'the request that ran was finished');
    await t.rejects(fetch(`${service.base}/users`), 'a new connection is refused');
    t.equal(await ended, 0);
    t.match(service.output(), /Background task completed[\s\S]*stopped/, 'the background task, too');
  });
}
