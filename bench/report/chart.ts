import { FLOOR, MUSTER, SERVERS } from '../servers.ts';
import { WORKS, type WorkName } from '../works.ts';
import { DATABASE_TITLES, whole } from './format.ts';
import type { Group, Report, Row } from './summary.ts';

/** Works worth a picture, from left to right. */
const SHOWN: readonly WorkName[] = ['lookup', 'list', 'create', 'patch', 'mixed'];

const [LABELS, PANEL, GAP] = [188, 148, 20];
const [BAR, STEP, TOP, TITLE] = [14, 22, 64, 46];

/**
 * Requests a second as bars: a row of panels for each database, a panel for each work, each with a scale of its own.
 * Plain SVG without scripts or fonts of its own; its colours follow the reader's light or dark theme.
 */
export function drawChart({ groups }: Report): string {
  const users = Math.min(...groups.map((group) => group.users));
  const shown = groups.filter((group) => group.users === users);
  const works = SHOWN.filter((work) => shown.some(({ rows }) => rows.some((row) => row.work === work)));
  const servers = SERVERS.filter(({ name }) =>
    shown.some(({ rows }) => rows.some((row) => row.server === name)),
  );
  const block = TITLE + servers.length * STEP + 18;
  const width = LABELS + works.length * (PANEL + GAP);
  const height = TOP + shown.length * block;
  const body = shown.map((group, index) =>
    drawGroup(
      group,
      works,
      servers.map(({ name, title }) => ({ name, title })),
      TOP + index * block,
    ),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Requests a second, Muster beside its peers">`,
    STYLE,
    text(0, 20, 'Requests a second on one core', 'title'),
    text(
      0,
      40,
      `${whole(users)} users, durable writes; longer is better. Each panel has its own scale; the dashed floor is cut.`,
      'note',
    ),
    ...body.flat(),
    '</svg>\n',
  ].join('\n');
}

const STYLE = `<style>
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .title { font-size: 16px; font-weight: 600; }
  .head { font-weight: 600; }
  .note, .value { fill: #59636e; }
  .value { font-size: 11px; }
  .own { font-weight: 600; }
  .bar { fill: #afb8c1; }
  .floor { fill: none; stroke: #afb8c1; stroke-dasharray: 3 2; }
  .muster { fill: #0969da; }
  .axis { stroke: #d1d9e0; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .note, .value { fill: #9198a1; }
    .bar { fill: #656c76; }
    .floor { stroke: #656c76; }
    .muster { fill: #4493f8; }
    .axis { stroke: #3d444d; }
  }
</style>`;

type Label = { name: string; title: string };

function drawGroup(
  group: Group,
  works: readonly WorkName[],
  servers: readonly Label[],
  top: number,
): string[] {
  const first = top + TITLE;
  const labels = servers.map(({ name, title }, index) =>
    text(0, first + index * STEP + 11, title, name === MUSTER ? 'own' : ''),
  );
  const panels = works.flatMap((work, index) =>
    drawPanel(
      work,
      servers.map(({ name }) => group.rows.find((row) => row.work === work && row.server === name)),
      LABELS + index * (PANEL + GAP),
      first,
    ),
  );
  return [text(0, top + 14, DATABASE_TITLES[group.database], 'title'), ...labels, ...panels];
}

/** The scale is that of the servers with a database: the floor, far above them in writes, is cut where it does not fit. */
function drawPanel(
  work: WorkName,
  rows: readonly (Row | undefined)[],
  left: number,
  first: number,
): string[] {
  const highest = Math.max(1, ...rows.map((row) => (row?.server === FLOOR ? 0 : (row?.throughput ?? 0))));
  const room = PANEL - 50;
  const bars = rows.flatMap((row, index) => {
    const y = first + index * STEP;
    if (row === undefined) return [];
    if (row.problem !== undefined) return [text(left + 4, y + 11, 'failed', 'value')];
    const length = Math.max(1, Math.min(1, row.throughput / highest) * room);
    const kind = row.server === MUSTER ? 'muster' : row.server === FLOOR ? 'floor' : 'bar';
    return [
      `<rect class="${kind}" x="${left}" y="${y}" width="${length.toFixed(1)}" height="${BAR}" rx="2"/>`,
      text(left + length + 5, y + 11, whole(row.throughput), 'value'),
    ];
  });
  const bottom = first + rows.length * STEP - (STEP - BAR);
  return [
    text(left, first - 12, WORKS[work].title, 'head'),
    `<line class="axis" x1="${left - 1}" y1="${first - 4}" x2="${left - 1}" y2="${bottom + 4}"/>`,
    ...bars,
  ];
}

function text(x: number, y: number, content: string, kind: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y}"${kind === '' ? '' : ` class="${kind}"`}>${escaped}</text>`;
}
