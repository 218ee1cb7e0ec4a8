import type { Machine } from '../machine/describe.ts';
import { MUSTER, SERVERS } from '../servers.ts';
import { WORKS } from '../works.ts';
import { cellsOf, DATABASE_TITLES, footnotes, HEAD, titleOf, whole } from './format.ts';
import { aheadOfMuster, goalsOf } from './goals.ts';
import { type Group, median, type Report } from './summary.ts';

export function writeMarkdown(report: Report, name: string): string {
  const { groups } = report;
  const sections = [
    '# Muster beside its peers',
    `![Requests a second](${name}.svg)`,
    method(report),
    '## What Muster promises',
    goals(groups),
    ahead(groups),
    ...groups.flatMap((group) => [
      `## ${DATABASE_TITLES[group.database]}, ${whole(group.users)} users`,
      table(group),
      disk(group),
      ...group.failures.map(({ server, problem }) => `**${titleOf(server)} failed**: ${problem}`),
    ]),
    ...footnotes(groups.flatMap(({ rows }) => rows)),
    leftOut(report),
  ];
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`;
}

export function machineLine(machine: Machine): string {
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  return `${machine.date}: ${machine.cpu}, ${machine.cores} cores, ${whole(machine.memoryBytes / 2 ** 30)} GiB, ${machine.system}, Node.js ${machine.node}; ${versions.join(', ')}.`;
}

function method({ machine, options }: Report): string {
  const { rounds, seconds, connections } = options;
  return [
    machineLine(machine),
    `Each server runs alone on one core; the load generator (${connections} connections), and on PostgreSQL the database too, on another. Rounds of every server in turn (${rounds}), each on a fresh copy of the same database, every other round in reverse; windows of ${seconds} s after a warm-up. Figures are medians of the rounds, memory the highest. A single answer that is not 2xx fails its row.`,
    'Writes are durable for all: SQLite with WAL and `synchronous=FULL`, PostgreSQL with `fsync` and `synchronous_commit` on. CPU is the time of the server’s process for one request. “Half load” is half of what the hand-written server does at its best: both get the same requests at the same even rate, and a latency counts from when its request was due.',
    'The list is its first page of 100; mixed is nine look-ups and one create in ten.',
  ].join('\n\n');
}

function goals(groups: readonly Group[]): string {
  const rows = groups.flatMap(goalsOf).map((goal) => {
    const { text, users, limit, atMost, found, met } = goal;
    const database = DATABASE_TITLES[goal.database as keyof typeof DATABASE_TITLES];
    return [
      text,
      database,
      whole(users),
      `${atMost ? '≤' : '≥'} ${limit}`,
      found.toFixed(2),
      met ? 'yes' : '**no**',
    ];
  });
  return markdownTable(['ratio', 'database', 'users', 'wanted', 'found', 'met'], rows);
}

function ahead(groups: readonly Group[]): string {
  const found = groups.flatMap((group) =>
    aheadOfMuster(group).map(
      ({ ahead: row, ratio }) =>
        `- ${WORKS[row.work].title}, ${DATABASE_TITLES[group.database]}, ${whole(group.users)} users: ${titleOf(row.server)}, ${ratio.toFixed(2)} times Muster`,
    ),
  );
  const measured = groups.some(({ rows }) => rows.some(({ server }) => server === MUSTER));
  if (!measured) return '';
  return found.length === 0
    ? 'No peer is ahead of Muster in any row.'
    : `Ahead of Muster:\n\n${found.join('\n')}`;
}

function table({ rows }: Group): string {
  const body = rows.map((row, index) => {
    const [server = '', ...cells] = cellsOf(row);
    const title = row.work === rows[index - 1]?.work ? '' : `**${WORKS[row.work].title}**`;
    return [title, row.server === MUSTER ? `**${server}**` : server, ...cells];
  });
  return markdownTable(['work', ...HEAD], body, 2);
}

function disk({ turns }: Group): string {
  const micros = turns.map((turn) => turn.durableWriteMicros);
  const [low, high] = [Math.min(...micros), Math.max(...micros)];
  return `One durable write of 4 KiB to the disk took ${whole(median(micros))} µs (${whole(low)}–${whole(high)} over the run).`;
}

/** The first `left` columns are words, the others numbers. */
export function markdownTable(head: readonly string[], rows: readonly string[][], left = 2): string {
  const rule = head.map((_, column) => (column < left ? '---' : '---:'));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function leftOut({ skipped, groups }: Report): string {
  const lines = skipped.map(({ title, reason }) => `- ${title}: ${reason}`);
  const present = new Set(groups.flatMap(({ rows }) => rows.map(({ server }) => server)));
  const others = SERVERS.filter(
    ({ name }) => !present.has(name) && !skipped.some(({ server }) => server === name),
  );
  lines.push(...others.map(({ title }) => `- ${title}: not asked for in this run`));
  return lines.length === 0 ? '' : `Left out:\n\n${lines.join('\n')}`;
}
