import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyInstance, LogController } from 'fastify';
import changesRoutes from './changes/changes.routes.ts';
import { pruneChanges } from './changes/log.ts';
import changes from './changes/plugin.ts';
import type { Config } from './config.ts';
import db from './db/plugin.ts';
import { scrubDeleted } from './db/scrub.ts';
import { entities } from './entities.ts';
import access from './http/access.ts';
import docs from './http/docs.ts';
import edge, { answerBrokenRequest } from './http/edge.ts';
import headers from './http/headers.ts';
import { eraseFromAnswers, pruneAnswers } from './http/idempotency.ts';
import logging, { loggerOptions } from './http/logging.ts';
import methods from './http/methods.ts';
import open from './http/open.ts';
import openapi from './http/openapi.ts';
import problem, { answerFrameworkError } from './http/problem.ts';
import streams from './http/streams.ts';
import { strictValidation } from './http/validation.ts';
import keysRoutes from './keys/keys.routes.ts';
import keys from './keys/plugin.ts';
import healthRoutes from './operations/health.routes.ts';
import health from './operations/health.ts';
import rateLimits from './operations/limits.ts';
import metricsRoutes from './operations/metrics.routes.ts';
import metrics from './operations/metrics.ts';
import overload from './operations/overload.ts';
import tracing from './operations/tracing.ts';
import { eraseFromSchedules, eraseFromTasks } from './tasks/erase.ts';
import { gather } from './tasks/gather.task.ts';
import type { TaskKind } from './tasks/kinds.ts';
import tasks from './tasks/plugin.ts';
import { type Prunable, pruneOf, pruneTasks } from './tasks/prune.task.ts';
import schedulesRoutes from './tasks/schedules.routes.ts';
import { sleep } from './tasks/sleep.task.ts';
import tasksRoutes from './tasks/tasks.routes.ts';
import { eraseFromFiles, eraseFromRefused } from './transfers/erase.ts';
import errorsRoutes from './transfers/errors.routes.ts';
import exportRoutes from './transfers/export.routes.ts';
import importRoutes from './transfers/import.routes.ts';
import { importOf } from './transfers/import.task.ts';
import { pruneBrokenUploads, pruneFiles, pruneImports } from './transfers/prune.ts';
import eraseRoutes from './users/erase.routes.ts';
import { ERASE, type Erasable, eraseOf, inWindows } from './users/erase.task.ts';
import historyRoutes from './users/history.routes.ts';
import { isEmail } from './users/keys.ts';
import users from './users/plugin.ts';
import tutorialRoutes from './users/tutorial.routes.ts';
import usersRoutes from './users/users.routes.ts';
import { deliverOf } from './webhooks/deliver.task.ts';
import deliveriesRoutes from './webhooks/deliveries.routes.ts';
import { Networks } from './webhooks/networks.ts';
import webhooks from './webhooks/plugin.ts';
import { Sender, type SenderOptions } from './webhooks/sender.ts';
import { testOf } from './webhooks/test.task.ts';
import webhooksRoutes from './webhooks/webhooks.routes.ts';

/** What the tests add. */
interface Extra {
  /** Kinds of tasks of their own. */
  kinds?: readonly TaskKind[];
  /** How webhooks are sent to: another limit of time, another resolver. */
  sender?: Partial<SenderOptions>;
  /** Called at each step of a task. */
  reached?(step: string): void;
}

/** The whole service, ready to listen. It reads no environment and keeps nothing outside: two can live in one process. */
export async function buildApp(
  config: Config,
  stream?: { write(line: string): void },
  extra: Extra = {},
): Promise<FastifyInstance> {
  const app = Fastify({
    logger: { ...loggerOptions, level: config.logLevel, ...(stream && { stream }) },
    ...limits(config),
    pluginTimeout: 0, // a migration takes as long as it takes
    ...strictValidation(FORMATS),
    genReqId: () => crypto.randomUUID(),
    logController: new LogController({ disableRequestLogging: true }), // `logging` writes one line a request
    return503OnClosing: false, // `edge` does it, with a problem document
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: answerFrameworkError,
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.server.maxConnections = config.maxConnections;
  try {
    await registerAll(app, config, extra);
    return app;
  } catch (error) {
    await app.close(); // or the database stays open, and its file locked
    throw error;
  }
}

/** The plugins and features, in order. */
async function registerAll(app: FastifyInstance, config: Config, extra: Extra): Promise<void> {
  await app.register(problem);
  await app.register(logging);
  await app.register(tracing, { settings: config.tracing, shutdownTimeoutMs: config.shutdownTimeoutMs });
  await app.register(headers, { corsOrigins: config.corsOrigins });
  await app.register(streams, { mostPerClient: config.maxStreamsPerClient });
  await app.register(metrics);
  await app.register(edge, { shutdownTimeoutMs: config.shutdownTimeoutMs });
  await app.register(rateLimits, { perSecond: config.rateLimitPerSecond });
  await app.register(overload, { maxDelayMs: config.maxEventLoopDelayMs });
  await app.register(methods);
  await app.register(open);
  await app.register(access);
  await app.register(openapi);
  await app.register(docs);
  await app.register(health);

  await app.register(db, {
    databaseUrl: config.databaseUrl,
    poolMax: config.databasePoolMax,
    minFreeBytes: config.minFreeDiskMb * 2 ** 20,
    entities,
  });
  await app.register(keys, { host: config.host, jwt: config.jwt });
  await app.register(changes);
  const networks = new Networks(config.webhookAllowedNetworks);
  const sender = new Sender({ networks, tracing: app.tracing, ...extra.sender });
  app.addHook('onClose', () => sender.close()); // after the tasks that send: the hooks run in reverse
  const scrub = (signal: AbortSignal) =>
    scrubDeleted(
      app.orm,
      config.databaseUrl,
      ['users', 'changes', 'idempotency_records', 'tasks', 'upload_blocks', 'import_errors'],
      signal,
    );
  await app.register(tasks, {
    kinds: [
      sleep,
      gather,
      pruneOf(prunables(config)),
      eraseOf(erasables, scrub),
      deliverOf(sender, app.bell),
      testOf(sender),
      importOf(FORMATS, () => app.isBusy()),
      ...(extra.kinds ?? []),
    ],
    schedules: [{ name: 'prune', kind: 'prune', input: {}, cron: '17 * * * *', timeZone: 'UTC' }],
    formats: FORMATS,
    concurrency: config.taskConcurrency,
    graceMs: config.shutdownTimeoutMs * 0.8,
    reached: extra.reached,
  });
  await app.register(users);
  await app.register(webhooks);

  await app.register(usersRoutes);
  await app.register(historyRoutes);
  await app.register(eraseRoutes);
  await app.register(changesRoutes);
  await app.register(tasksRoutes);
  await app.register(schedulesRoutes);
  await app.register(keysRoutes);
  await app.register(webhooksRoutes, { networks });
  await app.register(deliveriesRoutes);
  await app.register(importRoutes, {
    mostBytes: config.importMaxBytes,
    slowestMs: config.requestTimeoutMs,
  });
  await app.register(errorsRoutes);
  await app.register(exportRoutes);
  await app.register(tutorialRoutes);
  await app.register(healthRoutes);
  await app.register(metricsRoutes);
}

const FORMATS = { 'idn-email': isEmail };

/** What is not kept for ever. */
function prunables(config: Config): Prunable[] {
  const { changeRetentionDays } = config;
  return [
    ...(changeRetentionDays > 0
      ? [{ name: 'changes', days: changeRetentionDays, before: pruneChanges }]
      : []),
    { name: 'tasks', days: config.taskRetentionDays, before: pruneTasks },
    { name: 'brokenUploads', days: 1 / 24, before: pruneBrokenUploads },
    { name: 'importFiles', days: 1, before: pruneFiles },
    { name: 'imports', days: 0, before: pruneImports }, // right after the tasks
    { name: 'idempotencyRecords', days: config.idempotencyRetentionDays, before: pruneAnswers },
  ];
}

/**
 * Where what is known of a person stands beside them and their log. Each comes before where it is put from there:
 * schedules become tasks, rows of files are refused.
 */
export const erasables: readonly Erasable[] = [
  inWindows('schedules', eraseFromSchedules),
  inWindows<number>('tasks', (tx, person, after = 0) => eraseFromTasks(tx, person, after, ERASE)),
  { ...inWindows('files', eraseFromFiles), first: true },
  inWindows('refusedRows', eraseFromRefused),
  inWindows<string>('idempotencyRecords', (tx, person, after = '') => eraseFromAnswers(tx, person, after)),
];

/** Node and Fastify wait for ever by default: a few hundred slow clients would hold every connection. */
function limits({ requestTimeoutMs, trustProxy }: Config) {
  return {
    ...(trustProxy.length > 0 && { trustProxy }),
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: 5000,
    connectionTimeout: 60_000, // without a byte either way: a client that does not read is let go
    bodyLimit: 262_144, // 16 KiB of attributes, every character of them escaped, and room to spare
    forceCloseConnections: 'idle',
    http: {
      headersTimeout: Math.min(5000, requestTimeoutMs),
      connectionsCheckingInterval: 1000,
      maxHeaderSize: 16_384,
      requireHostHeader: false, // `edge` checks it: Node would answer without a body
    },
  } as const;
}
