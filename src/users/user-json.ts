import { toRfc3339 } from '../db/dialect.ts';

/** A row of `users` as a plain query gives it. `attributes` is JSON text. */
export interface UserRow {
  id: number;
  name: string;
  email: string;
  attributes: string;
  version: number;
  created_at: unknown;
  updated_at: unknown;
}

/** The columns of a user in a plain query; PostgreSQL's driver would parse the attributes. */
export const USER_COLUMNS =
  'id, name, email, cast(attributes as text) as attributes, version, created_at, updated_at';

/**
 * A user as the schema `User` shows it. The attributes are put through as they were stored: a list would spend more on
 * reading and writing them than on all the rest. The tests hold every answer to the schema.
 */
export function userJson(row: UserRow): string {
  const name = JSON.stringify(row.name);
  const email = JSON.stringify(row.email);
  const createdAt = toRfc3339(row.created_at);
  const updatedAt = row.updated_at === row.created_at ? createdAt : toRfc3339(row.updated_at);
  return (
    `{"id":${row.id},"name":${name},"email":${email},"attributes":${row.attributes},"version":${row.version},` +
    `"createdAt":"${createdAt}","updatedAt":"${updatedAt}"}`
  );
}
