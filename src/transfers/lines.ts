import { rfc3339 } from '../db/time.ts';
import type { DialectName } from '../db/url.ts';
import { type UserRow, userJson } from '../users/user-json.ts';

/**
 * How a user stands in a file, said twice: in SQL, because a database makes a page of lines sooner than rows are read and
 * written here (`npm run export` in `bench/`), and in JavaScript for pages of which some have changed since. The tests hold
 * both to the same bytes. A line ends with its line end. What SQL cannot write, a time of the year 10000, is null there.
 */
export interface Lines {
  header: string;
  sql(dialect: DialectName): string;
  of(row: UserRow): string;
}

/** As it was stored. */
const ATTRIBUTES = 'cast(attributes as text)';

/** JSON Lines of `User`, its members in the order of the schema. */
export const ndjsonLines: Lines = {
  header: '',
  sql(dialect) {
    const quoted = (column: string) =>
      dialect === 'sqlite' ? `json_quote(${column})` : `to_json(${column})`;
    const [created, updated] = [rfc3339(dialect, 'created_at'), rfc3339(dialect, 'updated_at')];
    // Two times cost as much as all the rest, and most users have never been changed.
    const times = `case when updated_at = created_at
      then replace('"createdAt":"@","updatedAt":"@"}\n', '@', ${created})
      else '"createdAt":"' || ${created} || '","updatedAt":"' || ${updated} || '"}\n' end`;
    return `format('{"id":%s,"name":%s,"email":%s,"attributes":%s,"version":%s,',
      id, ${quoted('name')}, ${quoted('email')}, ${ATTRIBUTES}, version) || ${times}`;
  },
  of: (row) => `${userJson(row)}\n`,
};

/** What a spreadsheet would take for the beginning of a formula, in ASCII and full width; the list of csv-stringify. */
const FORMULA = '=+@\t\r＝＋－＠-';

/**
 * RFC 4180, each text in quotes. `raw`: as they are, where otherwise a cell that a spreadsheet would run is given an
 * apostrophe in front.
 */
export async function csvLines(raw: boolean): Promise<Lines> {
  const { stringify } = await import('csv-stringify/sync');
  const options = {
    columns: ['id', 'name', 'email', 'attributes'],
    quoted_string: true,
    escape_formulas: !raw,
    record_delimiter: 'windows',
  } as const;
  return {
    header: `${options.columns.join(',')}\r\n`,
    sql(dialect) {
      const [first, within] = dialect === 'sqlite' ? ['unicode', 'instr'] : ['ascii', 'strpos'];
      // Most texts begin with a letter, between `@` and full width: that is seen for a tenth of what looking them up costs.
      const isFormula = (column: string) =>
        `not ${first}(${column}) between 65 and 65280 and ${within}('${FORMULA}', nullif(substr(${column}, 1, 1), '')) > 0`;
      const defused = (column: string) =>
        raw ? column : `case when ${isFormula(column)} then '''' || ${column} else ${column} end`;
      const cells = [defused('name'), defused('email'), ATTRIBUTES];
      if (dialect === 'sqlite') return `format('%s,"%w","%w","%w"\r\n', id, ${cells.join(', ')})`;
      const quoted = cells.map((text) => `replace(${text}, '"', '""')`);
      return `id || ',"' || ${quoted.join(` || '","' || `)} || '"\r\n'`; // `format` takes a quarter more time
    },
    of: (row) => stringify([row], options),
  };
}
