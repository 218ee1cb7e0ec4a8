import type { Tx } from '../../src/db/tx.ts';
import { defineTask, type TaskContext } from '../../src/tasks/kinds.ts';
import { giveToTask, receiveUpload } from '../../src/transfers/uploads.ts';
import type { TestApp } from './app.ts';

export const ADA = {
  name: 'Zqjxkvw Wvkxjqz',
  email: 'zqjxkvw@example.com',
  attributes: { phone: '+44 2079 460' },
};
/** What nobody else has. */
export const HERS = /zqjx|460/i;

export const note = defineTask({
  kind: 'note',
  description: 'Notes something.',
  input: { type: 'object', additionalProperties: true },
  run: async () => {},
});

/** A context as a runner gives it, without a task. `beforeSave` is told the how many-th it is. */
export function contextOf<Input>(
  { app }: Pick<TestApp, 'app'>,
  input: Input,
  beforeSave: (nth: number) => unknown = () => {},
) {
  let saves = 0;
  const context = {
    id: 999,
    input,
    actor: null,
    signal: AbortSignal.timeout(60_000),
    checkpoint: undefined as unknown,
    tasks: app.tasks,
    write: app.write,
    progress() {},
    async save(work: (tx: Tx) => Promise<unknown>) {
      await beforeSave(++saves);
      context.checkpoint = await app.write((tx) => {
        tx.changed();
        return work(tx);
      });
    },
  };
  return context as unknown as TaskContext<Input>;
}

/** A file that waits to be imported, by this task or by none yet. */
export async function upload({ app }: Pick<TestApp, 'app'>, file: string, taskId?: number): Promise<void> {
  const bytes = (async function* () {
    yield Buffer.from(file);
  })();
  const limits = { mostBytes: 1e9, headerOf: async () => null };
  const { id } = await receiveUpload(app.write, 'ndjson', bytes, limits);
  if (taskId !== undefined) await app.write((tx) => giveToTask(tx, id, taskId));
}

/** All that a table says. */
export async function textOf({ app }: Pick<TestApp, 'app'>, table: string, column: string): Promise<string> {
  const rows = await app.reader.read<{ it: Buffer | string }>(`select ${column} as it from ${table}`, []);
  return rows.map(({ it }) => (Buffer.isBuffer(it) ? it.toString() : JSON.stringify(it))).join('\n');
}
