import { once } from 'node:events';
import type { Service } from '../support/service.ts';

const LISTENING = /Debugger listening on (ws:\S+)/;

/**
 * Lets a service collect its garbage, as a debugger does that is attached from outside: what is left then is held. It has
 * to be started with `--inspect-port=0`.
 */
export async function collectGarbage(service: Service): Promise<void> {
  if (!LISTENING.test(service.output())) service.process.kill('SIGUSR1');
  await service.said(LISTENING);
  const socket = new WebSocket(LISTENING.exec(service.output())?.[1] ?? '');
  await once(socket, 'open');
  const answered = once(socket, 'message');
  socket.send(JSON.stringify({ id: 1, method: 'HeapProfiler.collectGarbage' }));
  await answered;
  const closed = once(socket, 'close');
  socket.close();
  await closed;
}
