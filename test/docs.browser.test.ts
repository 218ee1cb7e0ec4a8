import type { OpenAPIV3_1 } from 'openapi-types';
import { buildApp } from '../src/app.ts';
import { loadConfig } from '../src/config.ts';
import { inBrowser } from './support/browser.ts';

inBrowser('docs in a real browser', async (t, page) => {
  const app = await buildApp(loadConfig({ DATABASE_URL: 'sqlite::memory:', LOG_LEVEL: 'silent' }));
  t.teardown(() => app.close());
  const origin = await app.listen({ host: '127.0.0.1', port: 0 });
  const requested: string[] = [];
  const complaints: string[] = [];
  page.on('request', (request) => requested.push(request.url()));
  page.on('requestfailed', (request) => complaints.push(`failed: ${request.url()}`));
  page.on('pageerror', (error) => complaints.push(error.message));
  // A violation of the page's Content-Security-Policy is an error in the console, too.
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });

  await page.goto(`${origin}/docs`);

  await t.test('the page lists every operation of the document', async (t) => {
    await page.locator('.opblock').first().waitFor();
    t.match(await page.locator('.info .title').innerText(), /^Muster/);
    const document: OpenAPIV3_1.Document = (await app.inject('/openapi.json')).json();
    const expected = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
      Object.keys(item ?? {}).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const rows = await page.locator('.opblock .opblock-summary-control').all();
    const listed = await Promise.all(
      rows.map(async (row) => {
        const method = await row.locator('.opblock-summary-method').innerText();
        const path = await row.locator('.opblock-summary-path').getAttribute('data-path');
        return `${method} ${path}`;
      }),
    );
    t.strictSame(listed.sort(), expected.sort());
  });

  await t.test('‘try it’ creates a user from the example, or from what is written there', async (t) => {
    const operation = page.locator('.opblock[id$="-createUser"]');
    await operation.locator('.opblock-summary-control').click();
    const status = operation.locator('.live-responses-table .response-col_status').nth(1);
    await operation.locator('button.execute').click();
    await status.waitFor();
    t.match(await status.innerText(), /^201/);
    t.match((await app.inject('/users/1')).json(), { name: 'Ada Lovelace', email: 'ada@example.com' });

    await operation.locator('.body-param__text').fill('{"name": "Grace", "email": "grace@example.com"}');
    const answered = page.waitForResponse(`${origin}/users`);
    await operation.locator('button.execute').click();
    t.equal((await answered).status(), 201);
    t.match((await app.inject('/users/2')).json(), { name: 'Grace', email: 'grace@example.com' });
  });

  await t.test('‘try it’ lists them with nothing filled in', async (t) => {
    const operation = page.locator('.opblock[id$="-listUsers"]');
    await operation.locator('.opblock-summary-control').click();
    await operation.locator('button.execute').click();
    const body = operation.locator('.live-responses-table .response-col_description pre').first();
    await body.waitFor();
    t.match(await body.innerText(), /"Grace"/);
  });

  await t.test('it asked nothing of another machine, and nothing went wrong', async (t) => {
    t.ok(requested.includes(`${origin}/openapi.json`), 'requests were seen');
    const foreign = requested.filter((url) => !url.startsWith(`${origin}/`) && !url.startsWith('data:'));
    t.strictSame(foreign, []);
    t.strictSame(complaints, []);
  });
});
