import { createHash } from 'node:crypto';
import { parse } from 'csv-parse/sync';
import t from 'tap';
import { SAMPLE_HEADER, type SampleRow, sampleRows } from '../src/cli/sample.ts';
import { FAULTS } from '../src/cli/sample-faults.ts';
import { valueChecker } from '../src/http/validation.ts';
import { emailKey, isEmail } from '../src/users/keys.ts';
import { NewUser } from '../src/users/users.schemas.ts';

const check = valueChecker({ 'idn-email': isEmail }, [])(NewUser, []);
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Every way, twice. */
const COUNT = Object.keys(FAULTS).length * 200;
const rows = [...(await sampleRows(COUNT))];

/** What is wrong with a row for `POST /users`, judged from its bytes alone. */
function refusal({ bytes }: SampleRow, taken: Set<string>): string | undefined {
  let records: string[][];
  try {
    records = parse(utf8.decode(bytes));
  } catch (error) {
    return (error as Error).message;
  }
  const [cells = [], ...more] = records;
  if (more.length > 0) return 'more than one row';
  const [name, email = '', team, desk, phone, notes] = cells;
  if (cells.length !== SAMPLE_HEADER.split(',').length) return `${cells.length} cells`;
  if (cells.some((cell) => cell.includes('\0') || !cell.isWellFormed()))
    return 'a character no text may hold';
  const [fault] = check({ name, email, attributes: { team, desk, phone, notes } });
  if (fault !== undefined) return `${fault.pointer} ${fault.detail}`;
  const key = emailKey(email);
  if (taken.has(key)) return 'email taken';
  taken.add(key);
}

/** By what each fault is found, so that none hides another. */
const SIGNS: Record<string, RegExp> = {
  'a character no text': /-nul$/,
  'The encoded data was not valid': /^bytes-/,
  '#/name ': /^name-/,
  'email taken': /^email-taken/,
  '#/email ': /^email-/,
  '#/attributes ': /^attributes-/,
  '2 cells': /^cells-too-few/,
  '8 cells': /^cells-too-many/,
  'Invalid Opening Quote': /^quote-/,
};

t.test('just those rows of a sample break a rule of POST /users that it says are broken', async (t) => {
  const taken = new Set<string>();
  const wrong: unknown[] = [];
  const seen = new Map<string, Set<string>>();
  for (const row of rows) {
    const why = refusal(row, taken);
    if ((why === undefined) !== (row.broken === undefined))
      wrong.push({ ...row, text: `${row.bytes}`.slice(0, 300), why });
    if (row.broken !== undefined) seen.set(row.broken, (seen.get(row.broken) ?? new Set()).add(`${why}`));
  }
  t.strictSame(wrong, []);
  t.strictSame([...seen.keys()].sort(), Object.keys(FAULTS).sort(), 'every way is there');
  for (const [broken, reasons] of seen) {
    const [expected] = Object.entries(SIGNS).find(([, sign]) => sign.test(broken)) ?? [];
    t.equal(
      [...reasons].every((reason) => reason.startsWith(`${expected}`)),
      true,
      `${broken}: ${[...reasons]}`,
    );
  }
});

t.test('one row in a hundred is broken, one of each hundred', async (t) => {
  t.equal(rows.length, COUNT);
  for (let at = 0; at < COUNT; at += 100) {
    const broken = rows.slice(at, at + 100).filter((row) => row.broken !== undefined);
    if (broken.length !== 1) t.fail(`${broken.length} from row ${at + 1}`);
  }
  t.strictSame(
    [...(await sampleRows(99))].filter((row) => row.broken !== undefined),
    [],
  );
});

t.test(
  'a seed gives the same bytes everywhere, another seed others, and more rows go on after fewer',
  async (t) => {
    const bytes = async (count: number, seed?: number) =>
      Buffer.concat([...(await sampleRows(count, seed))].map((row) => row.bytes));
    const one = await bytes(1000);
    t.ok(one.equals(Buffer.concat(rows.slice(0, 1000).map((row) => row.bytes))));
    t.notOk(one.equals(await bytes(1000, 2)));
    // Another version of the generator may give other people; then this sum has to be written anew.
    t.equal(
      createHash('sha256').update(one).digest('hex'),
      '3b74cc67caf11fca7c1997df44d37d69df61df84fb61fed4ac0bac879b68faa6',
    );
  },
);

t.test('other seeds are as good', async (t) => {
  for (const seed of [0, 7, 4_294_967_295]) {
    const taken = new Set<string>();
    const others = [...(await sampleRows(COUNT / 2, seed))];
    const wrong = others.filter((row) => (refusal(row, taken) === undefined) !== (row.broken === undefined));
    t.strictSame(wrong, [], `seed ${seed}`);
  }
});

t.test('a reader of the whole file sees the same rows as a reader of each', async (t) => {
  const refused: string[] = [];
  const file = Buffer.concat([Buffer.from(SAMPLE_HEADER), ...rows.map((row) => row.bytes)]);
  const people: { email: string }[] = parse(file, {
    columns: true,
    skip_records_with_error: true,
    on_skip: (error) => void refused.push(`${error?.code}`),
  });
  const readable = rows.filter((row) => !/^(cells|quote)-/.test(row.broken ?? ''));
  t.strictSame(
    people.map((person) => person.email),
    readable.map((row) => row.person.email),
  );
});

t.test('the sample has what makes reading it hard', async (t) => {
  const good = rows.filter((row) => row.broken === undefined);
  const some = (what: string, test: (row: SampleRow) => boolean) => t.ok(good.some(test), what);
  some(
    'a name of 50 code points, more UTF-16 units',
    ({ person }) => [...person.name].length === 50 && person.name.length > 50,
  );
  some('an email of 100 characters', ({ person }) => [...person.email].length === 100);
  some('an internationalised email', ({ person }) => /^[^\p{ASCII}]+.*@.*[^\p{ASCII}]/u.test(person.email));
  some('a line end in quotes', ({ bytes }) => /"[^"\n]+\n[^"]+"/.test(`${bytes}`));
  some('a formula', ({ person }) => person.notes.startsWith('='));
  for (const script of [
    'Arab',
    'Armn',
    'Cyrl',
    'Deva',
    'Geor',
    'Grek',
    'Hang',
    'Hani',
    'Hebr',
    'Hira',
    'Latn',
    'Thaa',
    'Thai',
  ])
    some(script, ({ person }) => new RegExp(`\\p{Script=${script}}`, 'u').test(person.name));
});
