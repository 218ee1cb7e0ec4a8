import { readFileSync, writeFileSync } from 'node:fs';
import type { Random } from '../random.ts';

/** As in shim.c. */
const OPEN = 1;
const WRITE = 2;
const TRUNCATE = 3;
const SYNC = 4;
const FOLDER = 5;
const ENDS = new Map([
  [1, ''],
  [2, '-wal'],
  [3, '-journal'],
]);
const HEAD = 32;
const SECTOR = 512;

interface Call {
  op: number;
  kind: number;
  offset: number;
  length: number;
  data: Buffer;
  /** Where it ends in the recording. */
  end: number;
}

/** Every call to the disk that changes something, as the shim wrote it down. */
export function readRecording(path: string): Call[] {
  const bytes = readFileSync(path);
  const calls: Call[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [op = 0, kind = 0, offset = 0, length = 0] = [0, 8, 16, 24].map((field) =>
      Number(bytes.readBigInt64LE(at + field)),
    );
    const end = at + HEAD + (op === WRITE ? length : 0);
    calls.push({ op, kind, offset, length, data: bytes.subarray(at + HEAD, end), end });
    at = end;
  }
  return calls;
}

interface File {
  /** What survives, whatever happens; undefined: no such file. */
  kept: Buffer | undefined;
  /** Calls since the last fsync. */
  pending: Call[];
  /** Whether it was made or removed since its folder was last synced. */
  moved: boolean;
}

/**
 * A disk on which only what was synced is sure. Of all that came after, a power cut leaves what it likes: any of the
 * writes, in any order of them, and of each any of its sectors.
 */
export class Disk {
  readonly #files = new Map<number, File>();

  constructor(main: Buffer) {
    this.#files.set(1, { kept: main, pending: [], moved: false });
  }

  take(call: Call): void {
    if (call.kind === FOLDER) {
      if (call.op === SYNC) for (const file of this.#files.values()) file.moved = false;
      return;
    }
    const file = this.#files.get(call.kind) ?? { kept: undefined, pending: [], moved: false };
    this.#files.set(call.kind, file);
    if (call.op === SYNC) {
      for (const one of file.pending) file.kept = apply(file.kept, one);
      file.pending = [];
    } else if (call.op === WRITE || call.op === TRUNCATE) {
      file.pending.push(call);
    } else if (call.op === OPEN) {
      Object.assign(file, { kept: Buffer.alloc(0), pending: [], moved: true });
    } else {
      // Removed: until the folder is synced it may come back, as it was.
      file.moved = true;
      file.pending.push(call);
    }
  }

  /** Writes the files as a power cut at this moment could leave them. */
  cut(path: string, random: Random): void {
    for (const [kind, { kept, pending, moved }] of this.#files) {
      const isLost = moved && random.between(1, 3) === 1;
      if (kept === undefined || isLost) continue;
      // All, none, or some.
      const share = random.pick([0, 1, random.next(), random.next()]) ?? 0;
      let content: Buffer | undefined = kept;
      for (const call of pending)
        if (random.next() < share)
          content = apply(content, call, random.between(1, 3) === 1 ? random : undefined);
      if (content !== undefined) writeFileSync(`${path}${ENDS.get(kind)}`, content);
    }
  }
}

/** The content after a call; `torn`: of a write, after some of its sectors. */
function apply(content: Buffer | undefined, call: Call, torn?: Random): Buffer | undefined {
  if (call.op === TRUNCATE) return resized(content ?? Buffer.alloc(0), call.length);
  if (call.op !== WRITE) return undefined;
  const end = call.offset + call.length;
  const was = content ?? Buffer.alloc(0);
  const after = resized(was, Math.max(was.length, end));
  for (let from = call.offset; from < end; ) {
    const to = Math.min(end, (Math.floor(from / SECTOR) + 1) * SECTOR);
    if (torn === undefined || torn.between(0, 1) === 1)
      call.data.copy(after, from, from - call.offset, to - call.offset);
    from = to;
  }
  return after;
}

function resized(content: Buffer, length: number): Buffer {
  const after = Buffer.alloc(length);
  content.copy(after, 0, 0, length);
  return after;
}
