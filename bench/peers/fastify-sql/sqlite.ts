import Database from 'better-sqlite3';
import { keysOf, type Store, type User } from '../api.ts';
import { environment, requireDurable, SQLITE_PRAGMAS } from '../environment.ts';

interface Row {
  id: number;
  name: string;
  email: string;
  attributes: string;
  version: number;
  created_at: number;
  updated_at: number;
}

const COLUMNS = 'id, name, email, attributes, version, created_at, updated_at';

export function openStore(): Store {
  const db = new Database(environment.sqlitePath);
  for (const pragma of SQLITE_PRAGMAS) db.pragma(pragma);
  requireDurable(db.pragma('journal_mode', { simple: true }), db.pragma('synchronous', { simple: true }));

  const find = db.prepare<[number], Row>(`select ${COLUMNS} from users where id = ?`);
  const list = db.prepare<[number, number], Row>(
    `select ${COLUMNS} from users where id > ? order by id limit ?`,
  );
  const insert = db.prepare<[string, string, string, string, string, string, number, number], Row>(
    `insert into users (name, name_key, email, email_key, search_key, attributes, version, created_at, updated_at)
     values (?, ?, ?, ?, ?, ?, 1, ?, ?) returning ${COLUMNS}`,
  );
  // json_patch is RFC 7396: one statement, and nothing to read first.
  const patch = db.prepare<[string, number, number], Row>(
    `update users set attributes = json_patch(attributes, ?), version = version + 1, updated_at = ?
     where id = ? returning ${COLUMNS}`,
  );

  return {
    find: (id) => userOf(find.get(id)),
    list: (limit, after) => list.all(after, limit).map(userOfRow),
    create({ name, email, attributes = {} }) {
      const now = Date.now();
      const { nameKey, emailKey, searchKey } = keysOf(name, email);
      try {
        return userOf(
          insert.get(name, nameKey, email, emailKey, searchKey, JSON.stringify(attributes), now, now),
        );
      } catch (error) {
        if (error instanceof Database.SqliteError && error.code === 'SQLITE_CONSTRAINT_UNIQUE')
          return undefined;
        throw error;
      }
    },
    patch: (id, attributes) => userOf(patch.get(JSON.stringify(attributes), Date.now(), id)),
  };
}

function userOf(row: Row | undefined): User | undefined {
  return row && userOfRow(row);
}

function userOfRow(row: Row): User {
  return {
    id: row.id,
    name: row.name,
    email: row.email,
    attributes: JSON.parse(row.attributes),
    version: row.version,
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at),
  };
}
