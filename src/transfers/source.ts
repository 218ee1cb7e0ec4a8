import type { Reader } from '../db/reader.ts';
import { isSqlite } from '../db/statement.ts';
import type { Tx } from '../db/tx.ts';
import { PermanentFailure } from '../tasks/kinds.ts';
import { BLOCK_BYTES, type Format } from './upload.entity.ts';

/** A file that was uploaded, to be read from any place. */
export interface Source {
  id: number;
  format: Format;
  bytes: number;
  header: Buffer | null;
  /** When it was found: an erasure that overwrites a block of it moves that on. */
  touched: string;
  /** At least one byte from there, at most so many; none at the end. */
  read(offset: number, most: number): Promise<Buffer>;
}

interface UploadRow {
  id: number;
  format: Format;
  bytes: number | string;
  header: Buffer | null;
  touched: string;
}

const TOUCHED = 'cast(touched_at as text) as touched';

/** The file that belongs to a task, or undefined. */
export async function findUpload(reader: Reader, taskId: number): Promise<UploadRow | undefined> {
  const [row] = await reader.read<UploadRow>(
    `select id, format, bytes, header, ${TOUCHED} from uploads where task_id = ?`,
    [taskId],
  );
  return row;
}

/** @throws {PermanentFailure} `upload-gone` */
export async function openSource(reader: Reader, taskId: number): Promise<Source> {
  const upload = await findUpload(reader, taskId);
  if (upload === undefined) throw uploadGone();
  let n = -1;
  let block: Buffer = Buffer.alloc(0);
  return {
    ...upload,
    bytes: Number(upload.bytes),
    async read(offset, most) {
      if (offset >= Number(upload.bytes)) return Buffer.alloc(0);
      const wanted = Math.floor(offset / BLOCK_BYTES);
      if (wanted !== n) {
        const [row] = await reader.read<{ bytes: Buffer }>(
          'select bytes from upload_blocks where upload_id = ? and n = ?',
          [upload.id, wanted],
        );
        if (row === undefined) throw uploadGone();
        [n, block] = [wanted, row.bytes];
      }
      const from = offset - wanted * BLOCK_BYTES;
      return block.subarray(from, from + most);
    },
  };
}

/**
 * Whether what was read of a source is still what stands there, until the transaction ends: who was erased from the file
 * since must not be made anew of rows in memory. On PostgreSQL the erasure waits for us.
 */
export async function isUnchanged(tx: Tx, { id, touched }: Source): Promise<boolean> {
  const [row] = await tx.execute<{ touched: string }>(
    `select ${TOUCHED} from uploads where id = ? ${isSqlite(tx.em) ? '' : 'for share'}`,
    [id],
  );
  return row?.touched === touched;
}

function uploadGone(): PermanentFailure {
  return new PermanentFailure(
    'Its file is not kept any more: send it again to POST /users/import.',
    'upload-gone',
  );
}
