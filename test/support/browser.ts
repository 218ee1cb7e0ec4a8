import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';
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

/** Runs a test with a real browser; without one it is skipped, and says so. */
export function inBrowser(name: string, body: (test: Test, browser: Browser) => Promise<void>): void {
  const run = async (test: Test) => {
    const browser = await chromium.launch({ executablePath, args });
    test.teardown(() => browser.close());
    await body(test, browser);
  };
  if (existsSync(executablePath)) t.test(name, run);
  else t.skip(`no chromium at ${executablePath}: ${name}`, run);
}
