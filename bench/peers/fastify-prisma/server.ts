import { keysOf, mergePatch, type Store, type User } from '../api.ts';
import { environment, requireDurable, SQLITE_PRAGMAS } from '../environment.ts';
import { serve } from '../fastify-app.ts';

/**
 * Prisma 7 with its Rust-free client and a driver adapter. The clients are generated for each database at the start
 * of the benchmark; their types are not used here, so that `tsc` passes before that.
 */
interface Client {
  user: {
    findUnique(query: { where: { id: number }; omit: typeof HIDDEN }): Promise<User | null>;
    findMany(query: object): Promise<User[]>;
    create(query: { data: object; omit: typeof HIDDEN }): Promise<User>;
    update(query: { where: object; data: object; omit: typeof HIDDEN }): Promise<User>;
  };
  $queryRawUnsafe(sql: string): Promise<Record<string, unknown>[]>;
}
type ClientClass = new (options: { adapter: unknown }) => Client;

const HIDDEN = { nameKey: true, emailKey: true, searchKey: true } as const;
const UNIQUE_VIOLATION = 'P2002';
const NO_SUCH_RECORD = 'P2025';

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

const prisma = environment.dialect === 'sqlite' ? await openSqlite() : await openPostgresql();

const store: Store = {
  find: async (id) => (await prisma.user.findUnique({ where: { id }, omit: HIDDEN })) ?? undefined,
  list: (limit, after) =>
    prisma.user.findMany({ where: { id: { gt: after } }, orderBy: { id: 'asc' }, take: limit, omit: HIDDEN }),
  async create({ name, email, attributes = {} }) {
    const now = new Date();
    const keys = keysOf(name, email);
    const data = { name, email, ...keys, attributes, version: 1, createdAt: now, updatedAt: now };
    try {
      return await prisma.user.create({ data, omit: HIDDEN });
    } catch (error) {
      if (codeOf(error) === UNIQUE_VIOLATION) return undefined;
      throw error;
    }
  },
  async patch(id, attributes) {
    for (;;) {
      const user = await prisma.user.findUnique({ where: { id }, omit: HIDDEN });
      if (user === null) return undefined;
      const where = { id, version: user.version };
      const merged = mergePatch(user.attributes, attributes);
      const data = { attributes: merged, version: { increment: 1 }, updatedAt: new Date() };
      try {
        return await prisma.user.update({ where, data, omit: HIDDEN });
      } catch (error) {
        if (codeOf(error) !== NO_SUCH_RECORD) throw error; // else somebody was faster: once more
      }
    }
  },
};

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

await serve(store);
