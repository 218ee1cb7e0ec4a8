import closeWithGrace from 'close-with-grace';
import { buildApp } from './app.ts';
import { loadConfig } from './config.ts';
import { StartError } from './errors.ts';

/** The process: settings from the environment, one app, one port, and an orderly end. */
async function serve(): Promise<void> {
  const config = loadConfig();
  const app = await buildApp(config);
  closeWithGrace({ delay: config.shutdownTimeoutMs, logger: false }, async ({ signal, err }) => {
    if (err !== undefined) app.log.fatal({ err }, 'an error nobody caught: stopping');
    else app.log.info(`${signal}: stopping, and finishing what runs`);
    await app.close();
    app.log.info('stopped');
  });
  const address = await app.listen({ host: config.host, port: config.port });
  app.log.info(`Muster is ready. The docs are at ${address}/docs`);
}

function isExpected(error: unknown): error is Error {
  return (
    error instanceof StartError || (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')
  );
}

// No top-level await: `server.ts` loads this file with `require`.
serve().catch((error) => {
  if (!isExpected(error)) throw error;
  console.error(`Muster does not start: ${error.message}`);
  process.exitCode = 1;
});
