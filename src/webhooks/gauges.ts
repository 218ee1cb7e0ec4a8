import type { FastifyInstance } from 'fastify';
import { msUntil } from '../db/time.ts';

/** What there is to measure of the webhooks: of all replicas. */
export function measureWebhooks({ metrics, probe }: FastifyInstance): void {
  metrics.gauge('muster_webhooks', 'Webhooks, by whether they are enabled.', async () => {
    const [row] = await probe.read<{ enabled: unknown; disabled: unknown }>(
      'select count(*) - count(disabled_at) as enabled, count(disabled_at) as disabled from webhooks',
    );
    return ['enabled', 'disabled'].map((state) => ({
      labels: { state },
      value: Number(row?.[state as 'enabled' | 'disabled'] ?? 0),
    }));
  });
  metrics.gauge(
    'muster_webhook_backlog_seconds',
    'The age of the oldest change that an enabled webhook has not acknowledged or passed over; 0 when there is none.',
    async () => {
      const [row] = await probe.read<{ ms: number }>(
        `select ${msUntil(probe.dialect, 'at')} as ms from changes
         where position > (select min(position) from webhooks where disabled_at is null) order by position limit 1`,
      );
      return Math.max(0, -(row?.ms ?? 0) / 1000);
    },
  );
}
