import type { EntityManager } from '@mikro-orm/sql';
import { execute } from '../db/statement.ts';
import { removeBlocks } from './uploads.ts';

/*
 * Each looks for one upload that has had its time, and gives how much of it was deleted, a little at a time; 0 when
 * there is none.
 */

/** Uploads that stopped to arrive before `time`: their process has died. */
export async function pruneBrokenUploads(em: EntityManager, time: Date): Promise<number> {
  const [upload] = await execute<{ id: number }>(
    em,
    'select id from uploads where task_id is null and touched_at < ? order by touched_at limit 1',
    [time],
  );
  if (upload === undefined) return 0;
  const removed = await removeBlocks(txOf(em), upload.id);
  if (removed > 0) return removed;
  await execute(em, 'delete from uploads where id = ?', [upload.id]);
  return 1;
}

/** The files of imports that ended before `time` without success, and were not run again. */
export async function pruneFiles(em: EntityManager, time: Date): Promise<number> {
  const [upload] = await execute<{ id: number }>(
    em,
    `select uploads.id from uploads join tasks on tasks.id = uploads.task_id where tasks.finished_at < ?
       and exists (select 1 from upload_blocks where upload_id = uploads.id) limit 1`,
    [time],
  );
  return upload === undefined ? 0 : removeBlocks(txOf(em), upload.id);
}

/** What is left of imports whose tasks are not kept any more. */
export async function pruneImports(em: EntityManager, _time: Date, most: number): Promise<number> {
  const [upload] = await execute<{ id: number; task_id: number }>(
    em,
    `select id, task_id from uploads where task_id is not null
       and not exists (select 1 from tasks where tasks.id = uploads.task_id) limit 1`,
  );
  if (upload === undefined) return 0;
  const blocks = await removeBlocks(txOf(em), upload.id);
  if (blocks > 0) return blocks;
  const rows = await execute(
    em,
    `delete from import_errors where task_id = ? and line in
       (select line from import_errors where task_id = ? order by line limit ?) returning line`,
    [upload.task_id, upload.task_id, most],
  );
  if (rows.length > 0) return rows.length;
  await execute(em, 'delete from uploads where id = ?', [upload.id]);
  return 1;
}

function txOf(em: EntityManager) {
  return { execute: <Row>(sql: string, values: readonly unknown[]) => execute<Row>(em, sql, values) };
}
