import { type Broken, type Earlier, FAULTS, type Fault } from './sample-faults.ts';
import { COLUMNS, makePerson, type Person } from './sample-person.ts';
import { loadPools } from './sample-pools.ts';

/** One row of a sample: the bytes that stand in the file, and what is wrong with them, if anything. */
export interface SampleRow {
  /** With the line end. */
  bytes: Buffer;
  /** What the bytes say, where they are not broken in a way that no cell can hold. */
  person: Person;
  broken?: Broken;
}

export const SAMPLE_HEADER = `${COLUMNS.join(',')}\n`;
export const SAMPLE_SEED = 1;

const WAYS = Object.entries(FAULTS) as [Broken, Fault][];
/** Of each whole hundred rows one is broken, at a place that the seed says. */
const ONE_IN = 100;
/** How many emails are remembered to be taken again, of a file of any size. */
const REMEMBERED = 50;

/**
 * `count` people as rows of CSV, the same bytes for the same seed. One in a hundred is refused by an import, the ways in
 * turn: 4,900 rows have each of them. A longer sample begins with the shorter one.
 */
export async function sampleRows(count: number, seed = SAMPLE_SEED): Promise<Iterable<SampleRow>> {
  return rows(count, await loadPools(seed));
}

function* rows(count: number, pools: Awaited<ReturnType<typeof loadPools>>): Generator<SampleRow> {
  const { random } = pools;
  const earlier: Earlier = { plain: [], accented: [], international: [] };
  let brokenAt = 0;
  for (let number = 1; number <= count; number++) {
    const inHundred = (number - 1) % ONE_IN;
    if (inHundred === 0) brokenAt = Math.floor(random() * ONE_IN);
    const person = makePerson(pools, number);
    const isWhole = number - inHundred + ONE_IN - 1 <= count;
    if (inHundred === brokenAt && isWhole) {
      yield breakRow(number, person, earlier, random);
    } else {
      remember(earlier, person.email, random);
      yield { person, bytes: Buffer.from(csvRow(person)) };
    }
  }
}

function breakRow(number: number, person: Person, earlier: Earlier, random: () => number): SampleRow {
  const [broken, fault] = WAYS[Math.floor((number - 1) / ONE_IN) % WAYS.length] as (typeof WAYS)[number];
  const bad = { ...person, ...fault.cells?.(person, earlier, random) };
  const row = csvRow(bad);
  return { person: bad, broken, bytes: Buffer.from(fault.row?.(row) ?? row) };
}

function remember(earlier: Earlier, email: string, random: () => number): void {
  const isPlain = /^[\x21-\x7e]+$/.test(email);
  keep(isPlain ? earlier.plain : /@[\x21-\x7e]+$/.test(email) ? undefined : earlier.international);
  keep(email.length <= 90 && email.normalize('NFD') !== email ? earlier.accented : undefined);

  function keep(list: string[] | undefined): void {
    if (list === undefined) return;
    // Some stay from the first rows on, so that what is taken may be a million rows ago.
    if (list.length < REMEMBERED) list.push(email);
    else if (random() < 0.1) list[Math.floor((random() * REMEMBERED) / 2)] = email;
  }
}

function csvRow(person: Person): string {
  return `${COLUMNS.map((column) => csvCell(person[column])).join(',')}\n`;
}

/** RFC 4180 §2. Spaces at an end are quoted as well: some readers trim what is not. */
function csvCell(text: string): string {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
