import type { FastifyInstance } from 'fastify';
import { msUntil } from '../db/time.ts';

/** What there is to measure of the feed. */
export function measureFeed({ metrics, probe, feed }: FastifyInstance): void {
  metrics.gauge('muster_feed_streams', 'Streams that follow the log of changes here.', () => feed.followers);
  metrics.gauge(
    'muster_feed_lag_seconds',
    'The age of the oldest change that one of them has still to be given; 0 when there is none.',
    async () => {
      const position = feed.slowest;
      if (position === undefined) return 0;
      const [row] = await probe.read<{ ms: number }>(
        `select ${msUntil(probe.dialect, 'at')} as ms from changes where position > ? order by position limit 1`,
        [position],
      );
      return Math.max(0, -(row?.ms ?? 0) / 1000);
    },
  );
}
