import { createHash } from 'node:crypto';
import { dialectOf } from '../db/statement.ts';
import type { Tx } from '../db/tx.ts';
import { TooLarge } from '../errors.ts';
import { BLOCK_BYTES, type Format } from './upload.entity.ts';

export type Write = <T>(work: (tx: Tx) => Promise<T>) => Promise<T>;

export interface Received {
  id: number;
  /** Of the whole file, so that a repetition of it is known. */
  sha256: string;
}

/** Blocks that are deleted in one transaction: others wait for it. */
const BLOCKS_AT_ONCE = 8;

/**
 * Stores a file as it arrives: the next block is asked for when the one before is committed, so that a file of any size
 * takes the memory of one block. `headerOf` looks at the first block, and may refuse the whole. When it breaks off,
 * nothing of it is left.
 * @throws {TooLarge} and whatever `chunks` and `headerOf` throw
 */
export async function receiveUpload(
  write: Write,
  format: Format,
  chunks: AsyncIterable<Buffer>,
  { mostBytes, headerOf }: { mostBytes: number; headerOf(block: Buffer): Promise<Buffer | null> },
): Promise<Received> {
  const id = await write((tx) => insertUpload(tx, format));
  try {
    const digest = createHash('sha256');
    let n = 0;
    let bytes = 0;
    for await (const block of inBlocks(chunks, mostBytes)) {
      const header = n === 0 ? await headerOf(block) : undefined;
      digest.update(block);
      bytes += block.length;
      await write((tx) => insertBlock(tx, id, n, block, bytes, header));
      n++;
    }
    if (n === 0) await headerOf(Buffer.alloc(0));
    return { id, sha256: digest.digest('base64url') };
  } catch (error) {
    await removeUpload(write, id).catch(() => {}); // upkeep will
    throw error;
  }
}

/** Each block but the last is full. All of them are the same piece of memory: one is done with before the next is made. */
async function* inBlocks(chunks: AsyncIterable<Buffer>, mostBytes: number): AsyncGenerator<Buffer> {
  const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  let size = 0;
  let all = 0;
  for await (const chunk of chunks) {
    all += chunk.length;
    if (all > mostBytes) throw uploadTooLarge(mostBytes);
    for (let at = 0; at < chunk.length; ) {
      const copied = chunk.copy(block, size, at);
      at += copied;
      size += copied;
      if (size < BLOCK_BYTES) continue;
      yield block;
      size = 0;
    }
  }
  if (size > 0) yield block.subarray(0, size);
}

async function insertUpload(tx: Tx, format: Format): Promise<number> {
  const now = new Date();
  tx.changed();
  const [row] = await tx.execute<{ id: number }>(
    'insert into uploads (format, bytes, touched_at, created_at) values (?, 0, ?, ?) returning id',
    [format, now, now],
  );
  return row?.id ?? 0;
}

async function insertBlock(
  tx: Tx,
  id: number,
  n: number,
  block: Buffer,
  bytes: number,
  header: Buffer | null | undefined,
): Promise<void> {
  tx.changed();
  const kept = await tx.execute(
    'update uploads set bytes = ?, touched_at = ?, header = coalesce(?, header) where id = ? returning id',
    [bytes, new Date(), header ?? null, id],
  );
  if (kept.length === 0) throw new Error('an upload that took too long was removed');
  await tx.execute('insert into upload_blocks (upload_id, n, bytes) values (?, ?, ?)', [id, n, block]);
}

/** Gives a whole upload to the task that is to read it, in the transaction that enqueues that. */
export async function giveToTask(tx: Tx, id: number, taskId: number): Promise<void> {
  tx.changed();
  await tx.execute('update uploads set task_id = ?, touched_at = ? where id = ?', [taskId, new Date(), id]);
}

/** Deletes some blocks of an upload, and says how many it was. */
export async function removeBlocks(tx: Pick<Tx, 'execute'>, id: number): Promise<number> {
  const removed = await tx.execute(
    `delete from upload_blocks where upload_id = ? and n in
       (select n from upload_blocks where upload_id = ? order by n limit ?) returning n`,
    [id, id, BLOCKS_AT_ONCE],
  );
  return removed.length;
}

/**
 * Removes an upload unless it belongs to a task: of a commit that seems to have failed nobody knows. While PostgreSQL is
 * still at it, it holds the row; what becomes of that is left to upkeep.
 */
export async function removeUpload(write: Write, id: number): Promise<void> {
  const free = await write((tx) => {
    const lock = dialectOf(tx.em) === 'sqlite' ? '' : 'for update skip locked';
    return tx.execute(`select id from uploads where id = ? and task_id is null ${lock}`, [id]);
  });
  if (free.length === 0) return;
  await removeAllBlocks(write, id);
  await write(async (tx) => {
    tx.changed();
    await tx.execute('delete from uploads where id = ? and task_id is null', [id]);
  });
}

export async function removeAllBlocks(write: Write, id: number): Promise<void> {
  for (let removed = 1; removed > 0; ) {
    removed = await write((tx) => {
      tx.changed();
      return removeBlocks(tx, id);
    });
  }
}

export function uploadTooLarge(mostBytes: number): TooLarge {
  return new TooLarge('upload-too-large', `A file of at most ${mostBytes} bytes is read here.`);
}
