import { startMuster } from '../on-muster.ts';
import { requireExact } from './exact.ts';
import { requireDone, sendFile, watchTask } from './muster.ts';
import { brokenOf, type PeopleFile } from './people.ts';

const KILLED_AT = [0.3, 0.6, 0.9];

/**
 * Imports a file with a service that is killed at these parts of it and started again, and gives how far it was each time.
 * @throws {Error} unless the table, the log and the refused rows are then exactly what the file says
 */
export async function importKilled(
  url: string,
  path: string,
  file: PeopleFile,
  seeded: number,
): Promise<number[]> {
  const killedAt: number[] = [];
  let service = await startMuster(url);
  try {
    const location = await sendFile(service.port, path);
    for (const part of KILLED_AT) {
      const isFar = ({ done }: { done: number }) => done >= file.rows * part;
      const { state, progress } = await watchTask(
        service.port,
        location,
        (task) => task.progress !== undefined && isFar(task.progress),
      );
      if (state !== 'running') throw new Error(`the import was to be killed, and has ${state}`);
      process.kill(service.pid, 'SIGKILL');
      await service.stop();
      killedAt.push((progress?.done ?? 0) / file.rows);
      service = await startMuster(url);
    }
    const task = await watchTask(service.port, location);
    const broken = brokenOf(file);
    requireDone(task, { created: file.rows - broken, refused: broken });
    await requireExact(url, file, { seeded, task: task.id });
    return killedAt;
  } finally {
    await service.stop();
  }
}
