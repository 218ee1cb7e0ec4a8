import { setTimeout as sleep } from 'node:timers/promises';
import closeWithGrace from 'close-with-grace';
import { buildApp } from './app.ts';
import { loadConfig } from './config.ts';
import { whyNoStart } from './db/failures.ts';
import { StartError } from './errors.ts';

/**
 * Connections that the kernel keeps until they are taken. Of Node's 511 too many are there when 2,000 come at once: the
 * others knock again after one, three and seven seconds. Linux gives 4,096 at most unless `net.core.somaxconn` says more.
 */
const BACKLOG = 4096;

/** The process: settings from the environment, one app, one port, and an orderly end. */
async function serve(): Promise<void> {
  const config = loadConfig();
  // The database holds names and addresses: what this process writes, only its user reads.
  process.umask(0o077);
  // Whoever read the log may be gone before us (`npm start | tee log`, then Ctrl-C); that must not hold up the end.
  for (const output of [process.stdout, process.stderr]) output.on('error', () => {});
  const app = await buildApp(config, process.stdout);
  // For `localhost` Fastify would open a second server, for ::1, which the limits of the first do not hold.
  const host = config.host === 'localhost' ? '127.0.0.1' : config.host;
  const listening = { host, port: config.port, backlog: BACKLOG };
  const address = await app.listen(listening).catch(async (error) => {
    await app.close();
    if (error instanceof StartError) throw error;
    throw new StartError(`HOST=${config.host} PORT=${config.port} cannot be listened on: ${error.message}`);
  });
  const { shutdownDrainMs, shutdownTimeoutMs } = config;
  closeWithGrace({ delay: shutdownDrainMs + shutdownTimeoutMs, logger: false }, async ({ signal, err }) => {
    if (err !== undefined) app.log.fatal({ err }, 'an error nobody caught: stopping');
    else {
      app.health.serves = false; // balancers have so long to notice, and send nothing that would be refused
      if (shutdownDrainMs > 0) await sleep(shutdownDrainMs);
      app.log.info(`${signal}: stopping, and finishing what runs`);
    }
    await app.close();
    app.log.info('stopped');
  });
  app.log.info(`Muster is ready. The docs are at ${address}/docs`);
}

// No top-level await: `server.js` loads this file with `require`.
serve().catch((error) => {
  const why = error instanceof StartError ? error.message : whyNoStart(error);
  if (why === undefined) throw error;
  console.error(`Muster does not start: ${why}`);
  process.exit(1); // what was begun would hold it up
});
