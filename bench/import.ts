import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Template } from './database/seed.ts';
import { scratchFolder } from './database/sqlite.ts';
import { onCopy, onDatabases, withMuster } from './on-muster.ts';
import type { DatabaseName } from './options.ts';
import { prepare } from './prepare.ts';
import { bareImport, missingBare, writeTable } from './transfers/bare.ts';
import { measureBeside } from './transfers/beside.ts';
import { requireExact, requireUserCount } from './transfers/exact.ts';
import { importKilled } from './transfers/killed.ts';
import { importing } from './transfers/muster.ts';
import { readTransferOptions } from './transfers/options.ts';
import { importByPeer, PEERS } from './transfers/peers.ts';
import { brokenOf, type PeopleFile, writePeople } from './transfers/people.ts';
import { type ImportGroup, keepReport, loadAverage, say } from './transfers/report.ts';
import { importWhole } from './transfers/whole.ts';

/**
 * `npm run import -- --rows 1000000`: a file of so many rows, every hundredth broken, goes into Muster: how fast beside
 * the databases' own tools and beside other ORMs, in how much memory, what it does to other requests, and whether all of
 * it is there in the end, also when the service was killed three times.
 */
const options = readTransferOptions(process.argv.slice(2));
const { rows, parts } = options;
const file: PeopleFile = { tag: 'people', rows };
const folder = await scratchFolder();
const path = join(folder, 'people.csv');
await writePeople(path, file);
if (parts.includes('peers')) await prepare(['fastify-prisma']);
const groups: ImportGroup[] = [];
const loadBefore = loadAverage();
await onDatabases(options, measure, true);
await rm(folder, { recursive: true });
console.log(await keepReport(options, { import: { loadAverages: [loadBefore, loadAverage()], groups } }));
if (groups.some(({ failures }) => failures.length > 0)) process.exitCode = 1;

async function measure(template: Template, database: DatabaseName, users: number): Promise<void> {
  const group: ImportGroup = { database, users, rows, peers: [], failures: [] };
  groups.push(group);
  const part = async (name: string, work: (url: string) => Promise<string>) => {
    try {
      say(`${database}, ${name}: ${await onCopy(template, name, work)}`);
    } catch (error) {
      group.failures.push(`${name}: ${error instanceof Error ? error.message : error}`);
      say(`${database}, ${group.failures.at(-1)}`);
    }
  };
  const directory = { users, besideDatabase: database === 'postgresql' };

  if (parts.includes('whole'))
    await part('muster', (url) =>
      withMuster(url, async (started) => {
        group.whole = await importWhole(started, url, path, file, directory, options);
        return `${rate(group.whole.rate)}, exact`;
      }),
    );
  if (parts.includes('limit'))
    await part('bare', async (url) => {
      const missing = missingBare(database);
      if (missing !== undefined) throw new Error(missing);
      const table = join(folder, 'table.csv');
      await writeTable(table, file, database, users);
      group.bareRate = (rows / (await bareImport(url, table))) * 1000;
      await requireUserCount(url, users + rows - brokenOf(file));
      return rate(group.bareRate);
    });
  for (const peer of parts.includes('peers') ? PEERS : [])
    await part(peer, async (url) => {
      const peerRate = await importByPeer(peer, url, path, file);
      await requireExact(url, file, { seeded: users });
      group.peers.push({ peer, rate: peerRate });
      return `${rate(peerRate)}, exact`;
    });
  if (parts.includes('beside'))
    await part('beside', (url) =>
      withMuster(url, async (started) => {
        group.beside = await measureBeside(started, directory, options, importing(started.port, folder));
        return 'measured';
      }),
    );
  if (parts.includes('killed'))
    await part('killed', async (url) => {
      group.killedAt = await importKilled(url, path, file, users);
      return `at ${group.killedAt.map((part) => part.toFixed(2)).join(', ')}, exact`;
    });
}

function rate(perSecond: number): string {
  return `${Math.round(perSecond)} rows/s`;
}
