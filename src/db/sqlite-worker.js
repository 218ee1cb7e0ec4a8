import { enableCompileCache } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';

/**
 * The thread in which an SQLite file is written: it runs what `SqliteThread` sends, in order, and answers each. This file
 * is JavaScript for the reason that `server.js` gives.
 */
enableCompileCache();
const { SqliteEngine } = await import('./sqlite-engine.ts');

let engine;
let cannotOpen;
try {
  engine = new SqliteEngine(workerData);
} catch (error) {
  cannotOpen = error;
}

parentPort.on('message', (request) => {
  if (request === 'close') {
    engine?.close();
    parentPort.close();
    return;
  }
  try {
    if (cannotOpen !== undefined) throw cannotOpen;
    parentPort.postMessage(engine.run(...request));
  } catch ({ message, code }) {
    parentPort.postMessage({ message, code });
  }
});
