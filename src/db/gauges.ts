import type { FastifyInstance } from 'fastify';
import { freeBytes, sizeOf } from './files.ts';
import type { Orm } from './orm.ts';
import { poolOf } from './postgresql.ts';
import type { Reader } from './reader.ts';
import { dialectOf, sqliteFile } from './url.ts';
import type { WriteQueue } from './writes.ts';

/** What there is to measure of the database and of the door to it. */
export async function measureDatabase(
  { metrics }: FastifyInstance,
  { orm, databaseUrl, writes, reader }: { orm: Orm; databaseUrl: string; writes: WriteQueue; reader: Reader },
): Promise<void> {
  metrics.gauge('muster_write_queue_length', 'Writes that wait for their transaction.', () => writes.length);
  metrics.gauge(
    'muster_write_queue_oldest_seconds',
    'How long the oldest of them has been waiting.',
    () => writes.oldestMs / 1000,
  );
  metrics.gauge(
    'muster_long_reads_waiting',
    'Lists of many users that wait until fewer are being read.',
    () => reader.long.waiting,
  );
  if (dialectOf(databaseUrl) === 'postgresql') return measurePool(metrics, orm, reader);
  const path = sqliteFile(databaseUrl);
  if (path === undefined) return;
  metrics.gauge('muster_database_bytes', 'The size of the SQLite file and of its journal.', async () => [
    { labels: { file: 'database' }, value: await sizeOf(path) },
    { labels: { file: 'journal' }, value: await sizeOf(`${path}-wal`) },
  ]);
  metrics.gauge('muster_disk_free_bytes', 'What is free where the SQLite file is.', () => freeBytes(path));
}

async function measurePool(metrics: FastifyInstance['metrics'], orm: Orm, reader: Reader): Promise<void> {
  const pool = await poolOf(orm);
  metrics.gauge('muster_database_connections', 'Connections of the pool to PostgreSQL.', () => [
    { labels: { state: 'in_use' }, value: pool.totalCount - pool.idleCount },
    { labels: { state: 'idle' }, value: pool.idleCount },
  ]);
  metrics.gauge(
    'muster_database_connections_waiting',
    'Queries and transactions that wait for a connection of the pool.',
    () => reader.waiting(),
  );
}
