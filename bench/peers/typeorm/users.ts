import { MoreThan, QueryFailedError, type Repository } from 'typeorm';
import { type Attributes, keysOf, mergePatch, type NewUser } from '../api.ts';
import type { User } from './user.entity.ts';

/** The four works with a repository. `insert` and `update`, which TypeORM's page on performance prefers to `save`. */
export class Users {
  readonly #repository: Repository<User>;

  constructor(repository: Repository<User>) {
    this.#repository = repository;
  }

  find(id: number): Promise<User | null> {
    return this.#repository.findOneBy({ id });
  }

  list(limit: number, after: number): Promise<User[]> {
    return this.#repository.find({ where: { id: MoreThan(after) }, order: { id: 'ASC' }, take: limit });
  }

  /** Undefined when the email is taken. */
  async create({ name, email, attributes = {} }: NewUser) {
    const now = new Date();
    const user = { name, email, attributes, version: 1, createdAt: now, updatedAt: now };
    const keys = keysOf(name, email);
    try {
      const { identifiers } = await this.#repository.insert({ ...user, ...keys } as never);
      return { id: identifiers[0]?.id as number, ...user };
    } catch (error) {
      if (isTaken(error)) return undefined;
      throw error;
    }
  }

  /** The version decides who was first. */
  async patch(id: number, patch: Attributes): Promise<User | null> {
    for (;;) {
      const user = await this.#repository.findOneBy({ id });
      if (user === null) return null;
      const { version } = user;
      const attributes = mergePatch(user.attributes, patch);
      const changed = { attributes, version: version + 1, updatedAt: new Date() };
      const { affected } = await this.#repository.update({ id, version }, changed as never);
      if (affected !== 0) return Object.assign(user, changed);
    }
  }
}

function isTaken(error: unknown): boolean {
  const cause: unknown = error instanceof QueryFailedError ? error.driverError : undefined;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return code === 'SQLITE_CONSTRAINT_UNIQUE' || code === '23505';
}
