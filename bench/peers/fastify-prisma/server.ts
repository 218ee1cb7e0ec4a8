import { keysOf, mergePatch, type Store } from '../api.ts';
import { serve } from '../fastify-app.ts';
import { openPrisma } from './client.ts';

const HIDDEN = { nameKey: true, emailKey: true, searchKey: true } as const;
const UNIQUE_VIOLATION = 'P2002';
const NO_SUCH_RECORD = 'P2025';

const prisma = await openPrisma();

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
