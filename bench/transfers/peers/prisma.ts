import { openPrisma } from '../../peers/fastify-prisma/client.ts';
import { changesOf } from './change.ts';
import type { InsertUsers } from './turn.ts';

/** `createManyAndReturn`, because the changes need the ids, and `createMany` for those. */
export async function open(): Promise<InsertUsers> {
  const prisma = await openPrisma();
  return (people) =>
    prisma.$transaction(async (tx) => {
      const made = await tx.user.createManyAndReturn({ data: [...people], select: { id: true } });
      const ids = made.map(({ id }) => id);
      await tx.change.createMany({ data: changesOf(people, ids).map(({ actor, ...change }) => change) });
    });
}
