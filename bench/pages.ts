import { findLastPage } from './last-page.ts';
import type { startServer } from './machine/server-process.ts';
import { generate, loadOf } from './measure.ts';
import { onMuster } from './on-muster.ts';
import { type Options, readOptions } from './options.ts';
import { whole } from './report/format.ts';
import { median } from './report/summary.ts';

/**
 * `npm run pages`: what the last page of a list costs beside the first, for each sort, in alternating windows.
 * Takes the flags of `npm run bench`.
 */
const SORTS = ['id', 'name', 'email', 'createdAt'];

const options = readOptions(process.argv.slice(2));
const rows: Record<string, string>[] = [];
await onMuster(options, async (started, database, users) => {
  for (const sort of SORTS) {
    const lastPage = await findLastPage(started.port, users, sort);
    const firstPage = `/users?sort=${sort}&limit=100`;
    const [first, last]: [PageCost[], PageCost[]] = [[], []];
    for (let round = 0; round < options.rounds; round++) {
      first.push(await pageMicros(started, users, firstPage, options));
      last.push(await pageMicros(started, users, lastPage, options));
    }
    const [timeFirst, timeLast] = [medianOf(first, 'time'), medianOf(last, 'time')];
    const [cpuFirst, cpuLast] = [medianOf(first, 'cpu'), medianOf(last, 'cpu')];
    rows.push({
      database,
      users: whole(users),
      sort,
      'first, µs': whole(timeFirst),
      'last, µs': whole(timeLast),
      ratio: (timeLast / timeFirst).toFixed(2),
      'first, CPU µs': whole(cpuFirst),
      'last, CPU µs': whole(cpuLast),
      'CPU ratio': (cpuLast / cpuFirst).toFixed(2),
    });
  }
});
console.table(rows);

interface PageCost {
  time: number;
  cpu: number;
}

/**
 * Time for one page when as many as possible are asked for, and the part of it that is the server's own CPU time: on
 * SQLite nearly all, on PostgreSQL without the database.
 */
async function pageMicros(
  started: Awaited<ReturnType<typeof startServer>>,
  users: number,
  path: string,
  settings: Options,
): Promise<PageCost> {
  const load = await loadOf('list', started, { users, tag: 'pages', besideDatabase: false }, settings);
  load.work.name = 'list-last';
  load.work.lastPage = path;
  const { throughput, cpuMicros, errors, firstProblem } = await generate(load);
  if (errors > 0) throw new Error(`${path}: ${errors} errors, ${firstProblem}`);
  return { time: 1e6 / throughput, cpu: cpuMicros };
}

function medianOf(costs: readonly PageCost[], part: keyof PageCost): number {
  return median(costs.map((cost) => cost[part]));
}
