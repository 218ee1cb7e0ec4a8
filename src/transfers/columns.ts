import { Invalid, Malformed } from '../errors.ts';
import { MAX_DEPTH, parseJson } from '../http/json.ts';

export function refuse(what: string): never {
  throw new Malformed('invalid-row', what);
}

/** What the columns of a file are for. */
export interface Columns {
  count: number;
  name: number;
  email: number;
  attributes: number;
  others: [at: number, name: string][];
}

const KNOWN = ['name', 'email', 'attributes', 'id'];
/** What the list of refused rows adds, each time that one is sent again. */
const NOTES = ['muster-line', 'muster-reason'];

/** @throws {Invalid} `invalid-csv-header` */
export function readColumns(header: readonly string[]): Columns {
  const known = new Map<string, number>();
  const others = new Map<string, number>();
  for (const [at, written] of header.entries()) {
    const name = written.trim().toLowerCase();
    const isOurs = KNOWN.includes(name) || NOTES.includes(name);
    if (isOurs && written.trim() !== written)
      throw invalidHeader(`${JSON.stringify(written)} has white space around it`);
    if (NOTES.includes(name)) continue;
    const [names, key] = KNOWN.includes(name) ? [known, name] : [others, written];
    if (name === '') throw invalidHeader(`column ${at + 1} has no name`);
    if (name === '__proto__') throw invalidHeader('__proto__ is not allowed as a name');
    if (names.has(key)) throw invalidHeader(`${JSON.stringify(key)} is there twice`);
    names.set(key, at);
  }
  for (const name of ['name', 'email']) {
    if (!known.has(name)) throw invalidHeader(`there is no column ${name}${otherSeparator(header)}`);
  }
  const place = (name: string) => known.get(name) ?? -1;
  return {
    count: header.length,
    name: place('name'),
    email: place('email'),
    attributes: place('attributes'),
    others: [...others].map(([name, at]) => [at, name]),
  };
}

/** As spreadsheets write where the comma is in numbers. */
function otherSeparator([only = '', ...more]: readonly string[]): string {
  const [found] = more.length > 0 ? [] : (/[;\t]/.exec(only) ?? []);
  return found === undefined ? '' : `, but ${JSON.stringify(found)}: cells are separated by commas`;
}

/** An empty cell of an attribute is none: CSV cannot tell an empty text from nothing. */
export function readCells(columns: Columns, cells: readonly string[]): unknown {
  if (cells.length !== columns.count) {
    refuse(`has ${cells.length} cells, where the header has ${columns.count}`);
  }
  const user = { name: cells[columns.name], email: cells[columns.email] };
  const json = cells[columns.attributes] ?? '';
  const attributes = json === '' ? undefined : parseAttributes(json);
  const texts = columns.others.flatMap(([at, name]) =>
    cells[at] === '' ? [] : [[name, cells[at]] as const],
  );
  if (texts.length === 0) return attributes === undefined ? user : { ...user, attributes };
  const isObject = typeof attributes === 'object' && attributes !== null && !Array.isArray(attributes);
  if (attributes !== undefined && !isObject) return { ...user, attributes }; // the schema says what is wrong
  const given = new Map(isObject ? Object.entries(attributes) : []);
  const twice = texts.find(([name]) => given.has(name));
  if (twice !== undefined) refuse(`attributes/${twice[0]} is given twice`);
  return { ...user, attributes: Object.fromEntries([...given, ...texts]) };
}

function parseAttributes(json: string): unknown {
  try {
    return parseJson(Buffer.from(json), MAX_DEPTH - 1); // in a body they stand one level deeper
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    const faults = error.faults.map((fault) => ({
      ...fault,
      pointer: `#/attributes${fault.pointer.slice(1)}`,
    }));
    throw new Malformed(error.code, error.message.replace('The body', 'attributes'), faults);
  }
}

export function invalidHeader(what: string): Invalid {
  return new Invalid('invalid-csv-header', `The first record has to name the columns of the file: ${what}.`);
}
