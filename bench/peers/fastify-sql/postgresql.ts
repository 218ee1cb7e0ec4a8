import pg from 'pg';
import { keysOf, mergePatch, type Store, type User } from '../api.ts';
import { environment } from '../environment.ts';

const COLUMNS = 'id, name, email, attributes, version, created_at as "createdAt", updated_at as "updatedAt"';

/** A name makes `pg` prepare the statement once for each connection. */
const find = { name: 'find', text: `select ${COLUMNS} from users where id = $1` };
const list = { name: 'list', text: `select ${COLUMNS} from users where id > $1 order by id limit $2` };
const insert = {
  name: 'insert',
  text: `insert into users (name, name_key, email, email_key, search_key, attributes, version, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, 1, $7, $7) returning ${COLUMNS}`,
};
const update = {
  name: 'update',
  text: `update users set attributes = $1, version = version + 1, updated_at = $2
         where id = $3 and version = $4 returning ${COLUMNS}`,
};

const UNIQUE_VIOLATION = '23505';

export function openStore(): Store {
  const pool = new pg.Pool({ connectionString: environment.databaseUrl });
  const rows = async (statement: { name: string; text: string }, values: unknown[]) =>
    (await pool.query<User>({ ...statement, values })).rows;

  return {
    find: async (id) => (await rows(find, [id]))[0],
    list: (limit, after) => rows(list, [after, limit]),
    async create({ name, email, attributes = {} }) {
      const { nameKey, emailKey, searchKey } = keysOf(name, email);
      const values = [name, nameKey, email, emailKey, searchKey, attributes, new Date()];
      try {
        return (await rows(insert, values))[0];
      } catch (error) {
        if (error instanceof pg.DatabaseError && error.code === UNIQUE_VIOLATION) return undefined;
        throw error;
      }
    },
    /** The version decides who was first: two round trips and no transaction held between them. */
    async patch(id, attributes) {
      for (;;) {
        const user = (await rows(find, [id]))[0];
        if (user === undefined) return undefined;
        const merged = mergePatch(user.attributes, attributes);
        const updated = (await rows(update, [merged, new Date(), id, user.version]))[0];
        if (updated !== undefined) return updated;
      }
    },
  };
}
