/** What the benchmark tells every server: where the users are and where to listen. */
const databaseUrl = process.env.DATABASE_URL ?? '';

export const environment = {
  databaseUrl,
  dialect: databaseUrl.startsWith('sqlite:') ? 'sqlite' : 'postgresql',
  sqlitePath: databaseUrl.slice('sqlite:'.length),
  host: process.env.HOST ?? '127.0.0.1',
  port: Number(process.env.PORT ?? 3000),
} as const;

/** WAL with `synchronous=FULL`, as Muster: whoever answers a write has it on the disk. */
export const SQLITE_PRAGMAS = ['journal_mode = WAL', 'synchronous = FULL'] as const;

/** Every peer reads back what it set: a driver or an ORM may undo it in silence. */
export function requireDurable(journalMode: unknown, synchronous: unknown): void {
  if (journalMode !== 'wal' || Number(synchronous) !== 2) {
    throw new Error(`not durable: journal_mode=${journalMode}, synchronous=${synchronous}`);
  }
}

/** Ended by an exit of its own, so that a CPU profile is written. */
process.once('SIGTERM', () => process.exit(0));
