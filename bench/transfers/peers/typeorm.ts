import 'reflect-metadata';
import { DataSource } from 'typeorm';
import { checkDurable, dataSourceOptions } from '../../peers/typeorm/data-source.ts';
import { Change, User } from '../../peers/typeorm/user.entity.ts';
import { changesOf } from './change.ts';
import type { InsertUsers } from './turn.ts';

/** `repository.insert([…])`, which its page on performance prefers to `save`. */
export async function open(): Promise<InsertUsers> {
  const dataSource = await new DataSource(dataSourceOptions).initialize();
  await checkDurable(dataSource);
  return (people) =>
    dataSource.transaction(async (manager) => {
      const { identifiers } = await manager.getRepository(User).insert(people as never);
      const ids = identifiers.map(({ id }) => id as number);
      await manager.getRepository(Change).insert(changesOf(people, ids) as never);
    });
}
