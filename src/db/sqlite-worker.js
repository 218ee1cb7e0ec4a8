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
  giveBack(request[1]);
});

/**
 * Bytes are sent as a copy, which is given back here and not when this thread's heap, which is small, is next looked
 * through: by then it would be most of what an upload takes. Two pieces of one memory come as two views of one copy.
 */
function giveBack(values) {
  for (const value of values) {
    if (value instanceof Uint8Array && !value.buffer.detached) value.buffer.transfer(0);
  }
}
