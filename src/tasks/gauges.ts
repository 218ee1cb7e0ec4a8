import type { FastifyInstance } from 'fastify';
import { along } from '../db/dialect.ts';
import { listed } from '../db/given.ts';
import type { Probe } from '../db/probe.ts';
import { msUntil } from '../db/time.ts';

/**
 * Counted no further. Among a million tasks all states then take SQLite 1.7 ms, in which nothing else happens; up to
 * 100,000 of each they took 27 to 70.
 */
const MOST_COUNTED = 10_000;
/** Those with the lowest ids, among whom the one that has waited longest is looked for. */
const OLDEST_LOOKED_AT = 100;

/** What there is to measure of the tasks: of all replicas, but for the attempts. Gives what counts one that has ended. */
export function measureTasks({ metrics, probe }: FastifyInstance, kinds: readonly string[]) {
  const attempts = new Map<string, { labels: { kind: string; state: string }; value: number }>();
  metrics.gauge('muster_tasks', `Tasks by state, counted up to ${MOST_COUNTED}.`, () => countByState(probe));
  metrics.gauge(
    'muster_tasks_by_kind',
    `Tasks that are queued or running, by kind, counted up to ${MOST_COUNTED}.`,
    () => countByKind(probe, kinds),
  );
  metrics.gauge(
    'muster_tasks_oldest_queued_seconds',
    'How long the oldest task that could run has been waiting to; 0 when none is.',
    () => ageOfOldest(probe),
  );
  metrics.counter(
    'muster_task_attempts_total',
    'Attempts that ended here, by the state that followed.',
    () => [...attempts.values()],
  );
  return (kind: string, state: string): void => {
    const counted = attempts.get(`${kind} ${state}`) ?? { labels: { kind, state }, value: 0 };
    counted.value++;
    attempts.set(`${kind} ${state}`, counted);
  };
}

/** Each along the index that holds only these, or begins with the state. */
async function countByState(probe: Probe) {
  const [row = {}] = await probe.read<Record<string, number | string>>(
    `select ${queued(probe, '')} as queued, ${counted(probe, 'tasks_scheduled', `state = 'scheduled'`)} as scheduled,
       ${counted(probe, 'tasks_running', `state = 'running'`)} as running,
       ${counted(probe, 'tasks_state_id', `state = 'failed'`)} as failed`,
  );
  return Object.entries(row).map(([state, n]) => ({ labels: { state }, value: Number(n) }));
}

async function countByKind(probe: Probe, kinds: readonly string[]) {
  const { dialect } = probe;
  type Count = { kind: string; n: number | string };
  const waiting = await probe.read<Count>(
    `select value as kind, ${queued(probe, 'and kind = asked.value')} as n from (${listed(dialect, 'text')}) as asked`,
    [JSON.stringify(kinds)],
  );
  const running = await probe.read<Count>(
    `select kind, count(*) as n from tasks ${along(dialect, 'tasks_running')} where state = 'running' group by kind`,
  );
  const samples = (state: string, rows: readonly Count[]) =>
    rows.map(({ kind, n }) => ({ labels: { kind, state }, value: Number(n) }));
  return [...samples('queued', waiting), ...samples('running', running)];
}

/** Suspects have an index of their own. */
function queued(probe: Probe, and: string): string {
  return `${counted(probe, 'tasks_queued', `state = 'queued' and losses < 2 ${and}`)}
    + ${counted(probe, 'tasks_suspect', `state = 'queued' and losses >= 2 ${and}`)}`;
}

function counted({ dialect }: Probe, index: string, where: string): string {
  const some = `select 1 from tasks ${along(dialect, index)} where ${where} limit ${MOST_COUNTED}`;
  return `(select count(*) from (${some}) as found)`;
}

/** A task begins to wait when its time has come, which may be long after it was made. */
async function ageOfOldest(probe: Probe): Promise<number> {
  const { dialect } = probe;
  const [row] = await probe.read<{ ms: number | null }>(
    `select ${msUntil(dialect, 'min(since)')} as ms from (
       select coalesce(run_at, created_at) as since from tasks ${along(dialect, 'tasks_state_id')}
       where state = 'queued' order by id limit ${OLDEST_LOOKED_AT}) as oldest`,
  );
  return Math.max(0, -Number(row?.ms ?? 0) / 1000);
}
