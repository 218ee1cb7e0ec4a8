import { Change } from '../../peers/fastify-mikro-orm/change.entity.ts';
import { openMikroOrm } from '../../peers/fastify-mikro-orm/orm.ts';
import { User } from '../../peers/fastify-mikro-orm/user.entity.ts';
import { changesOf } from './change.ts';
import type { InsertUsers } from './turn.ts';

/** `em.insertMany`. */
export async function open(): Promise<InsertUsers> {
  const fork = await openMikroOrm();
  return (people) =>
    fork().transactional(async (em) => {
      const ids = await em.insertMany(User, [...people]);
      await em.insertMany(Change, changesOf(people, ids));
    });
}
