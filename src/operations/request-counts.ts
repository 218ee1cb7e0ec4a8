import type { Sample } from './metrics.ts';

/** Upper ends, in milliseconds. From what a look-up takes to what nobody waits for. */
const BUCKETS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000];

/** Of what came before nobody speaks any more: who asks now must not wait behind work for which there was time then. */
const LATELY_MS = 250;

interface RouteCounts {
  method: string;
  route: string;
  byStatus: Map<number, number>;
  /** How many took no longer than each end, and longer than the one before; the last: longer than all. */
  buckets: number[];
  sumMs: number;
}

/**
 * Answers, by the pattern of their route, never by what stood in its place: that would be personal data, and a metric for
 * each user. They are counted from the start by a few additions each (28 ns), long before anybody asks.
 */
export class RequestCounts {
  readonly #routes = new Map<string, Map<string, RouteCounts>>();
  #lately = { since: -Infinity, many: 0, before: 0 };

  /** `ms`: undefined when the time says nothing. */
  count(method: string, route: string, status: number, ms: number | undefined): void {
    this.#turnOver();
    this.#lately.many++;
    const counts = this.#routes.get(route)?.get(method) ?? this.#begin(method, route);
    counts.byStatus.set(status, (counts.byStatus.get(status) ?? 0) + 1);
    if (ms === undefined) return;
    let nth = 0;
    while (nth < BUCKETS_MS.length && ms > (BUCKETS_MS[nth] as number)) nth++;
    counts.buckets[nth] = (counts.buckets[nth] as number) + 1;
    counts.sumMs += ms;
  }

  /** How many a second, of late: of the window before this one, that part which is too long ago is not counted. */
  lately(now = performance.now()): number {
    this.#turnOver(now);
    const { since, many, before } = this.#lately;
    return (many + before * (1 - (now - since) / LATELY_MS)) * (1000 / LATELY_MS);
  }

  #turnOver(now = performance.now()): void {
    const { since, many } = this.#lately;
    if (now - since < LATELY_MS) return;
    this.#lately = { since: now, many: 0, before: now - since < 2 * LATELY_MS ? many : 0 };
  }

  counted(): Sample[] {
    return this.#all().flatMap(countSamples);
  }

  durations(): Sample[] {
    return this.#all().flatMap(durationSamples);
  }

  #begin(method: string, route: string): RouteCounts {
    const buckets = new Array<number>(BUCKETS_MS.length + 1).fill(0);
    const counts = { method, route, byStatus: new Map(), buckets, sumMs: 0 };
    const methods = this.#routes.get(route) ?? new Map<string, RouteCounts>();
    methods.set(method, counts);
    this.#routes.set(route, methods);
    return counts;
  }

  #all(): RouteCounts[] {
    return [...this.#routes.values()].flatMap((methods) => [...methods.values()]);
  }
}

function countSamples({ method, route, byStatus }: RouteCounts): Sample[] {
  return [...byStatus].map(([status, value]) => ({
    labels: { method, route, status: String(status) },
    value,
  }));
}

function durationSamples({ method, route, buckets, sumMs }: RouteCounts): Sample[] {
  let count = 0;
  const samples: Sample[] = buckets.map((many, nth) => {
    count += many;
    const end = BUCKETS_MS[nth];
    const le = end === undefined ? '+Inf' : String(end / 1000);
    return { suffix: '_bucket', labels: { method, route, le }, value: count };
  });
  return [
    ...samples,
    { suffix: '_sum', labels: { method, route }, value: sumMs / 1000 },
    { suffix: '_count', labels: { method, route }, value: count },
  ];
}
