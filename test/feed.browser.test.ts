import type { User } from '../src/users/users.schemas.ts';
import { inBrowser } from './support/browser.ts';
import { fetch } from './support/fetch.ts';
import { temporaryFolder } from './support/owner.ts';
import { freePort } from './support/postgres.ts';
import { startService } from './support/service.ts';

inBrowser(
  'the EventSource of a real browser follows through restarts and misses nothing',
  async (t, page) => {
    const port = await freePort();
    const env = { PORT: String(port), DATABASE_URL: `sqlite:${await temporaryFolder(t)}/muster.db` };
    const base = `http://127.0.0.1:${port}`;
    let service = await startService(t, env);
    let made = 0;
    const create = async (many: number) => {
      for (let n = 0; n < many; n++) {
        const response = await fetch(`${base}/users`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ name: `n${++made}`, email: `u${made}@example.com` }),
        });
        t.equal(((await response.json()) as User).id, made);
      }
    };
    await create(5);

    await page.goto(`${base}/docs`); // any page of the same origin
    await page.evaluate(() => {
      const seen: number[] = [];
      const source = new EventSource('/changes?after=0');
      source.addEventListener('user.created', (event) => {
        seen.push(JSON.parse((event as MessageEvent).data).userId);
      });
      Object.assign(globalThis, { seen });
    });
    const seen = (many: number) =>
      page.waitForFunction((many) => (globalThis as unknown as { seen: number[] }).seen.length >= many, many);
    await seen(5);
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      await create(5);
      await service.end(signal);
      service = await startService(t, env);
      await create(5);
      await seen(made);
    }
    t.strictSame(
      await page.evaluate(() => (globalThis as unknown as { seen: number[] }).seen),
      Array.from({ length: made }, (_, at) => at + 1),
    );
  },
);
