import { FLOOR, HAND_WRITTEN, MUSTER, PLAIN_ORM } from '../servers.ts';
import { WORKS, type WorkName } from '../works.ts';
import { find, type Group, median, type Row } from './summary.ts';

/** What Muster promises of itself beside the others, and what this run says of it. */
export interface Goal {
  text: string;
  database: string;
  users: number;
  /** `atLeast` or `atMost` this. */
  limit: number;
  atMost: boolean;
  found: number;
  met: boolean;
}

export function goalsOf(group: Group): Goal[] {
  const goals: Goal[] = [];
  const row = (work: WorkName, server: string) => find(group, work, server);
  const add = (text: string, found: number | undefined, limit: number, atMost = false) => {
    if (found === undefined || Number.isNaN(found)) return;
    const met = atMost ? found <= limit : found >= limit;
    goals.push({ text, database: group.database, users: group.users, limit, atMost, found, met });
  };
  const speed = (work: WorkName, beside: string) =>
    divide(row(work, MUSTER)?.throughput, row(work, beside)?.throughput);

  if (group.database === 'sqlite') {
    add('look-up beside hand-written', speed('lookup', HAND_WRITTEN), 0.9);
    add('look-up beside bare node:http', speed('lookup', FLOOR), 0.5);
    add('look-up beside plain MikroORM', speed('lookup', PLAIN_ORM), 15);
  } else {
    add('look-up beside hand-written', speed('lookup', HAND_WRITTEN), 1.5);
  }
  add('create beside hand-written', speed('create', HAND_WRITTEN), 4);
  add('patch beside hand-written', speed('patch', HAND_WRITTEN), 2.5);
  add('list of 100 beside hand-written', speed('list', HAND_WRITTEN), 0.8);
  const [first, last] = [row('list', MUSTER), row('list-last', MUSTER)];
  add('cost of the last page beside the first', divide(first?.throughput, last?.throughput), 1.2, true);
  for (const [work, { title }] of Object.entries(WORKS)) {
    const p99 = (server: string) => row(work as WorkName, server)?.rated?.p99Ms;
    const text = `p99 at half load beside hand-written, ${title.toLowerCase()}`;
    add(text, divide(p99(MUSTER), p99(HAND_WRITTEN)), 1.5, true);
  }
  const starts = group.turns.flatMap(({ server, startMs }) => (server === MUSTER ? [startMs] : []));
  add('first answer after the start (ms)', starts.length === 0 ? undefined : median(starts), 400, true);
  add('peak memory beside hand-written', divide(peak(group, MUSTER), peak(group, HAND_WRITTEN)), 1.5, true);
  return goals;
}

/** The peers that are ahead of Muster in a work; the floor, which has no database, is none. */
export function aheadOfMuster(group: Group): { ahead: Row; ratio: number }[] {
  return group.rows.flatMap((ahead) => {
    const own = find(group, ahead.work, MUSTER);
    const isPeer = ahead.server !== MUSTER && ahead.server !== FLOOR && ahead.problem === undefined;
    if (own === undefined || !isPeer || ahead.throughput <= own.throughput) return [];
    return [{ ahead, ratio: ahead.throughput / own.throughput }];
  });
}

function peak(group: Group, server: string): number | undefined {
  const rows = group.rows.filter((row) => row.server === server);
  return rows.length === 0 ? undefined : Math.max(...rows.map(({ peakBytes }) => peakBytes));
}

function divide(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a / b;
}
