import type { Pool, Pools } from './sample-pools.ts';

export const COLUMNS = ['name', 'email', 'team', 'desk', 'phone', 'notes'] as const;
export type Person = Record<(typeof COLUMNS)[number], string>;

/** Reserved for documentation (RFC 2606), so that nobody is ever written to. */
const DOMAINS = ['example.com', 'example.net', 'example.org', 'mail.example'];
const NATIVE_DOMAINS = [
  'bücher.example',
  'пример.example',
  '例え.example',
  '예시.example',
  'παράδειγμα.example',
  ...DOMAINS,
];
/** RFC 5321 §4.5.3.1.1, in bytes. */
const LOCAL_PART_BYTES = 64;

/** Somebody whom `POST /users` accepts. Nobody else of this sample has the email: the row's number ends its local part. */
export function makePerson(pools: Pools, number: number): Person {
  const { random } = pools;
  const pick = picker(random);
  const country = pick(pools.countries);
  const name = makeName(country, random);
  const isNative = random() < 0.3;
  const local = localPart(name, isNative ? NATIVE : ASCII, number);
  const domain = random() < 0.01 ? longestDomain(local) : pick(isNative ? NATIVE_DOMAINS : DOMAINS);
  return {
    name,
    email: `${local}@${domain}`,
    team: pick(pools.teams),
    desk: random() < 0.2 ? '' : makeDesk(random),
    phone: random() < 0.3 ? '' : pick(country.phones),
    notes: random() < 0.6 ? '' : makeNotes(country, random),
  };
}

/** Makes an email of 100 characters, the most that there may be. */
function longestDomain(local: string): string {
  const room = 99 - [...local].length - '.example'.length;
  const half = room >> 1; // a label has at most 63 letters
  return `${'d'.repeat(half)}.${'d'.repeat(room - half - 1)}.example`;
}

export function picker(random: () => number) {
  return <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
}

function makeName(country: Pool, random: () => number): string {
  const pick = picker(random);
  const { given, family } = pick(country.names);
  const first = pick(given);
  const last = pick(family);
  const whole =
    country.order === 'given family'
      ? `${first} ${last}`
      : `${last}${country.order === 'familygiven' ? '' : ' '}${first}`;
  const odd = random();
  if (odd < 0.01) return `${last}, ${first}`.slice(0, 50).trim();
  if (odd < 0.02) return `${first.slice(0, 20)} "${pick(given).slice(0, 15)}" O’Neil`.trim();
  if (odd < 0.03) return `${whole.slice(0, 20).trim()}${'𝒜👩🏽‍🚀'.repeat(10)}`.replace(LAST_BEYOND_50, '');
  return whole.replace(LAST_BEYOND_50, '').trim();
}

/** What follows the 50th code point. */
const LAST_BEYOND_50 = /(?<=^.{50}).*$/su;

const NATIVE = /[^\p{L}\p{M}\p{N}]+/u;
const ASCII = /[^a-z0-9]+/;
/** Letters that do not come apart into a plain one and a mark. */
const PLAIN: Record<string, string> = { ß: 'ss', ı: 'i', ł: 'l', đ: 'd', ø: 'o', æ: 'ae' };

function localPart(name: string, between: RegExp, number: number): string {
  const lower = name.toLowerCase();
  const letters =
    between === NATIVE
      ? lower
      : lower
          .normalize('NFD')
          .replace(/\p{M}/gu, '')
          .replace(/[^\0-\x7f]/g, (letter) => PLAIN[letter] ?? ' ');
  const end = `${number}`;
  // Also where the letters come apart, which takes more bytes, it has to fit.
  let bytes = LOCAL_PART_BYTES - end.length;
  let start = '';
  for (const word of letters.split(between)) {
    if (word === '' || /^\p{M}/u.test(word)) continue;
    bytes -= Buffer.byteLength(word.normalize('NFD')) + 1;
    if (bytes < 0) break;
    start += `${word}.`;
  }
  return `${start || 'someone.'}${end}`;
}

function makeDesk(random: () => number): string {
  const place = `${Math.floor(random() * 400)}`;
  return random() < 0.5 ? place : `B${Math.floor(random() * 5)}-${place.padStart(3, '0')}`;
}

/** Everything that a cell may hold: commas, quotes, line ends of both kinds, formulas, spaces at the ends. */
function makeNotes(country: Pool, random: () => number): string {
  const pick = picker(random);
  const sentence = pick(country.sentences);
  const other = pick(country.sentences);
  return pick([
    sentence,
    sentence,
    `${sentence}, ${other}`,
    `${sentence}\n${other}`,
    `${sentence}\r\n\r\n${other}`,
    `"${sentence}"`,
    `said "${other}", then left`,
    `=HYPERLINK("https://example.com/";"${other}")`,
    '-',
    '@home',
    ` ${sentence} `,
    `${sentence} 👩🏽‍🚀`,
    'null',
    '0012',
    'true',
  ]);
}
