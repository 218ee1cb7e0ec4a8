import type { User } from '../../src/users/users.schemas.ts';

/** `unknown`: the connection broke off before there was an answer, or the answer says that nobody knows. */
export type Fate = 'acknowledged' | 'refused' | 'unknown';

/** A write as its client knows it. What it makes in the log carries its mark, but for a deletion and an erasure. */
export interface Act {
  does: 'create' | 'patch' | 'delete' | 'erase' | 'import';
  mark: string;
  fate: Fate;
  /** Sent again and again under one Idempotency-Key until it was answered. */
  once?: boolean;
  /** How many changes it makes. */
  changes: number;
  userId?: number;
  /** The user as the answer shows them, where it shows all of them. */
  answer?: User;
  /** The task that does it. */
  taskId?: number;
}

export interface Task {
  id: number;
  kind: string;
  state: string;
  attempt: number;
  dedupeKey?: string;
  parentId?: number;
  result?: unknown;
  error?: { message: string; code?: string };
  finishedAt?: string;
}

/** A task that somebody asked for. Its mark is its `dedupeKey`. */
export interface Errand {
  mark: string;
  fate: Fate;
  ids: Set<number>;
  /** How it may end. */
  ends: readonly string[];
  /** Of a `gather`: how many children it has. */
  children?: number;
}

/** What all workers did and learned. */
export class History {
  readonly acts: Act[] = [];
  readonly errands: Errand[] = [];
  /** Tasks as they were when they were first seen to have ended. */
  readonly ended = new Map<number, Task>();
  /** What readers saw that cannot be. */
  readonly misread: string[] = [];

  sawTask(task: Task): void {
    if (task.error?.code === 'process-lost') return; // it is retried
    if (task.finishedAt !== undefined && !this.ended.has(task.id)) this.ended.set(task.id, task);
  }

  count(fate: Fate): number {
    return [...this.acts, ...this.errands].filter((one) => one.fate === fate).length;
  }
}
