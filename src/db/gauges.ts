import { stat } from 'node:fs/promises';
import type { PostgreSqlConnection } from '@mikro-orm/postgresql';
import type { FastifyInstance } from 'fastify';
import { freeBytes } from './health.ts';
import type { Orm } from './orm.ts';
import { dialectOf, sqlitePath } from './url.ts';
import type { WriteQueue } from './writes.ts';

/** What there is to measure of the database and of the door to it. */
export async function measureDatabase(
  { metrics }: FastifyInstance,
  { orm, databaseUrl, writes }: { orm: Orm; databaseUrl: string; writes: WriteQueue },
): Promise<void> {
  metrics.gauge('muster_write_queue_length', 'Writes that wait for their transaction.', () => writes.length);
  metrics.gauge(
    'muster_write_queue_oldest_seconds',
    'How long the oldest of them has been waiting.',
    () => writes.oldestMs / 1000,
  );
  if (dialectOf(databaseUrl) === 'postgresql') return measurePool(metrics, orm);
  const path = sqlitePath(databaseUrl);
  if (path === ':memory:') return;
  metrics.gauge('muster_database_bytes', 'The size of the SQLite file and of its journal.', async () => {
    const sizes = await Promise.all(
      ['', '-wal'].map((end) =>
        stat(`${path}${end}`).then(
          ({ size }) => size,
          () => 0,
        ),
      ),
    );
    return sizes.map((value, nth) => ({ labels: { file: nth === 0 ? 'database' : 'journal' }, value }));
  });
  metrics.gauge('muster_disk_free_bytes', 'What is free where the SQLite file is.', () => freeBytes(path));
}

async function measurePool(metrics: FastifyInstance['metrics'], orm: Orm): Promise<void> {
  const connection = orm.em.getConnection() as unknown as PostgreSqlConnection;
  const pool = await connection.getNativeClient();
  metrics.gauge('muster_database_connections', 'Connections of the pool to PostgreSQL.', () => [
    { labels: { state: 'in_use' }, value: pool.totalCount - pool.idleCount },
    { labels: { state: 'idle' }, value: pool.idleCount },
  ]);
  metrics.gauge(
    'muster_database_connections_waiting',
    'Queries and transactions that wait for a connection of the pool.',
    () => pool.waitingCount,
  );
}
