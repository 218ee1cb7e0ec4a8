import type { User } from '../api.ts';
import { environment, requireDurable, SQLITE_PRAGMAS } from '../environment.ts';

/**
 * Prisma 7 with its Rust-free client and a driver adapter. The clients are generated for each database at the start
 * of the benchmark; their types are not used here, so that `tsc` passes before that.
 */
export interface Client {
  user: {
    findUnique(query: { where: { id: number }; omit?: object }): Promise<User | null>;
    findMany(query: object): Promise<User[]>;
    create(query: { data: object; omit?: object }): Promise<User>;
    update(query: { where: object; data: object; omit?: object }): Promise<User>;
    createManyAndReturn(query: { data: object[]; select: object }): Promise<{ id: number }[]>;
  };
  change: { createMany(query: { data: object[] }): Promise<unknown> };
  $transaction<T>(work: (client: Client) => Promise<T>, options?: { timeout: number }): Promise<T>;
  $queryRawUnsafe(sql: string): Promise<Record<string, unknown>[]>;
}
type ClientClass = new (options: { adapter: unknown }) => Client;

export function openPrisma(): Promise<Client> {
  return environment.dialect === 'sqlite' ? openSqlite() : openPostgresql();
}

async function loadClient(dialect: string): Promise<ClientClass> {
  const generated: { PrismaClient: ClientClass } = await import(
    new URL(`../../build/prisma-${dialect}/client.ts`, import.meta.url).href
  );
  return generated.PrismaClient;
}

async function openSqlite(): Promise<Client> {
  const { PrismaBetterSqlite3 } = await import('@prisma/adapter-better-sqlite3');
  const PrismaClient = await loadClient('sqlite');
  // As Muster and the others keep dates: milliseconds since 1970.
  const adapter = new PrismaBetterSqlite3(
    { url: `file:${environment.sqlitePath}` },
    { timestampFormat: 'unixepoch-ms' },
  );
  const client = new PrismaClient({ adapter });
  for (const pragma of SQLITE_PRAGMAS) await client.$queryRawUnsafe(`pragma ${pragma}`);
  const [journal] = await client.$queryRawUnsafe('pragma journal_mode');
  const [synchronous] = await client.$queryRawUnsafe('pragma synchronous');
  requireDurable(journal?.journal_mode, synchronous?.synchronous);
  return client;
}

async function openPostgresql(): Promise<Client> {
  const { PrismaPg } = await import('@prisma/adapter-pg');
  const PrismaClient = await loadClient('postgresql');
  return new PrismaClient({ adapter: new PrismaPg({ connectionString: environment.databaseUrl }) });
}
