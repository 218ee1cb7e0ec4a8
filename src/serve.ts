import closeWithGrace from 'close-with-grace';
import { buildApp } from './app.ts';
import { loadConfig } from './config.ts';
import { whyNoStart } from './db/failures.ts';
import { StartError } from './errors.ts';

/** The process: settings from the environment, one app, one port, and an orderly end. */
async function serve(): Promise<void> {
  const config = loadConfig();
  // The database holds names and addresses: what this process writes, only its user reads.
  process.umask(0o077);
  // Whoever read the log may be gone before us (`npm start | tee log`, then Ctrl-C); that must not hold up the end.
  for (const output of [process.stdout, process.stderr]) output.on('error', () => {});
  const app = await buildApp(config, process.stdout);
  const address = await app.listen({ host: config.host, port: config.port }).catch(async (error) => {
    await app.close();
    if (error instanceof StartError) throw error;
    throw new StartError(`HOST=${config.host} PORT=${config.port} cannot be listened on: ${error.message}`);
  });
  closeWithGrace({ delay: config.shutdownTimeoutMs, logger: false }, async ({ signal, err }) => {
    if (err !== undefined) app.log.fatal({ err }, 'an error nobody caught: stopping');
    else app.log.info(`${signal}: stopping, and finishing what runs`);
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
