import { LockMode, UniqueConstraintViolationException } from '@mikro-orm/core';
import { keysOf, mergePatch, type Store } from '../api.ts';
import { serve } from '../fastify-app.ts';
import { openMikroOrm } from './orm.ts';
import { User } from './user.entity.ts';

/**
 * MikroORM as its guide shows: a fork for each request, find or create, flush. (Its own version property would need a
 * default in the table, so a patch locks its row, as the page on transactions has it.)
 */
const fork = await openMikroOrm();

const store: Store = {
  find: async (id) => (await fork().findOne(User, id)) ?? undefined,
  list: (limit, after) => fork().find(User, { id: { $gt: after } }, { orderBy: { id: 'asc' }, limit }),
  async create({ name, email, attributes = {} }) {
    const em = fork();
    const now = new Date();
    const user = em.create(User, {
      name,
      email,
      ...keysOf(name, email),
      attributes,
      version: 1,
      createdAt: now,
      updatedAt: now,
    });
    try {
      await em.persist(user).flush();
      return user;
    } catch (error) {
      if (error instanceof UniqueConstraintViolationException) return undefined;
      throw error;
    }
  },
  patch: (id, attributes) =>
    fork().transactional(async (em) => {
      const user = await em.findOne(User, id, { lockMode: LockMode.PESSIMISTIC_WRITE });
      if (user === null) return undefined;
      user.attributes = mergePatch(user.attributes, attributes);
      user.version++;
      user.updatedAt = new Date();
      return user;
    }),
};

await serve(store);
