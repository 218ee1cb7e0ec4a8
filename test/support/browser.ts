import { existsSync } from 'node:fs';
import { chromium, type Page } from 'playwright-core';
import t, { type Test } from 'tap';

const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
/** A browser that asks nothing of the network by itself: what it requests, the page requests. */
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A machine may be slow, and what is waited for comes late. */
const timeout = 180_000;

/** Runs a test with a page of a real browser; without one it is skipped, and says so. */
export function inBrowser(name: string, body: (test: Test, page: Page) => Promise<void>): void {
  const run = async (test: Test) => {
    const browser = await chromium.launch({ executablePath, args, timeout });
    test.teardown(() => browser.close());
    const page = await browser.newPage();
    page.setDefaultTimeout(timeout);
    await body(test, page);
  };
  if (existsSync(executablePath)) t.test(name, run);
  else t.skip(`no chromium at ${executablePath}: ${name}`, run);
}
