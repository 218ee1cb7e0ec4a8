import { Change } from '../../peers/fastify-mikro-orm/change.entity.ts';
import { openMikroOrm } from '../../peers/fastify-mikro-orm/orm.ts';
import { User } from '../../peers/fastify-mikro-orm/user.entity.ts';
import { changesOf } from './change.ts';
import type { InsertUsers } from './turn.ts';

/** `em.insertMany`, which gives one id for plain rows: the others are asked for. */
export async function open(): Promise<InsertUsers> {
  const fork = await openMikroOrm();
  return (people) =>
    fork().transactional(async (em) => {
      await em.insertMany(User, [...people]);
      const made = await em.find(
        User,
        { emailKey: { $in: people.map(({ emailKey }) => emailKey) } },
        { fields: ['id', 'emailKey'], disableIdentityMap: true },
      );
      const idOf = new Map(made.map(({ id, emailKey }) => [emailKey, id]));
      const ids = people.map(({ emailKey }) => idOf.get(emailKey));
      await em.insertMany(Change, changesOf(people, ids));
    });
}
