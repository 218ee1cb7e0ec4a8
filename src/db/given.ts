import type { DialectName } from './url.ts';

export type ColumnType = 'int' | 'text' | 'json' | 'time' | 'ms';

/**
 * Rows that the program gives to a statement as one JSON array in one value, named `given`: the statement's text is
 * the same for any number of them. `time` is what the database keeps (`toGiven`), `ms` a number of milliseconds. A JSON
 * null is SQL's null.
 */
export function given(dialect: DialectName, columns: Record<string, ColumnType>): string {
  const all = Object.entries(columns);
  if (dialect === 'postgresql') {
    const types = { int: 'int', text: 'text', json: 'json', time: 'timestamptz', ms: 'float8' };
    const list = all.map(([name, type]) => `${name} ${types[type]}`).join(', ');
    return `json_to_recordset(?::json) as given(${list})`;
  }
  const list = all.map(([name, type]) =>
    type === 'json'
      ? // What is JSON already, an object or a text in quotes, stays as it is.
        `nullif(value -> '$.${name}', 'null') as ${name}`
      : `value ->> '$.${name}' as ${name}`,
  );
  return `(select ${list.join(', ')} from jsonb_each(?)) as given`;
}

/** A `time` among the rows that are given: SQLite keeps milliseconds, PostgreSQL reads what a Date is in JSON. */
export function toGiven(dialect: DialectName, time: Date): number | Date {
  return dialect === 'sqlite' ? time.getTime() : time;
}

/** One array as rows of `value`, for `in (…)`. */
export function listed(dialect: DialectName, type: 'int' | 'text'): string {
  return dialect === 'sqlite'
    ? 'select value from json_each(?)'
    : `select value::${type} from json_array_elements_text(?::json)`;
}
