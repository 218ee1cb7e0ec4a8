import { buildApp } from '../../../src/app.ts';
import { loadConfig } from '../../../src/config.ts';
import { steps } from './steps.ts';

/** A service in a process of its own, with the kind `steps`. */
const app = await buildApp(loadConfig(), process.stdout, { kinds: [steps] });
const address = await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) });
app.log.info(`Muster is ready. The docs are at ${address}/docs`);
process.once('SIGTERM', () => void app.close());
