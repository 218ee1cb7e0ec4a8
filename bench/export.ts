import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Template } from './database/seed.ts';
import { scratchFolder } from './database/sqlite.ts';
import { generate, loadOf } from './measure.ts';
import { onCopy, onDatabases, withMuster } from './on-muster.ts';
import type { DatabaseName } from './options.ts';
import { bareExport, missingBare } from './transfers/bare.ts';
import { measureBeside } from './transfers/beside.ts';
import { readTransferOptions } from './transfers/options.ts';
import { type ExportGroup, keepReport, loadAverage, say } from './transfers/report.ts';
import { exporting, exportWhole, FORMATS, requireExport } from './transfers/whole-export.ts';

/**
 * `npm run export -- --rows 1000000`: a directory of so many users is exported: how fast beside the databases' own tools,
 * in how much memory, and what it does to other requests.
 */
const given = readTransferOptions(process.argv.slice(2));
const options = { ...given, users: [given.rows] };
const { parts } = options;
const folder = await scratchFolder();
const path = join(folder, 'users');
const groups: ExportGroup[] = [];
const loadBefore = loadAverage();
await onDatabases(options, measure, true);
await rm(folder, { recursive: true });
console.log(await keepReport(options, { export: { loadAverages: [loadBefore, loadAverage()], groups } }));
if (groups.some(({ failures }) => failures.length > 0)) process.exitCode = 1;

async function measure(template: Template, database: DatabaseName, users: number): Promise<void> {
  const group: ExportGroup = { database, users, formats: [], failures: [] };
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
        await generate(await loadOf('lookup', started, { ...directory, tag: 'warm' }, options));
        for (const format of FORMATS) group.formats.push(await exportWhole(started, format, path, users));
        return `${group.formats.map(({ rate }) => Math.round(rate)).join(', ')} users/s, exact`;
      }),
    );
  if (parts.includes('limit'))
    await part('bare', async (url) => {
      const missing = missingBare(database);
      if (missing !== undefined) throw new Error(missing);
      group.bareRate = (users / (await bareExport(url, path))) * 1000;
      await requireExport(path, 'csv', users);
      return `${Math.round(group.bareRate)} users/s`;
    });
  if (parts.includes('beside'))
    await part('beside', (url) =>
      withMuster(url, async (started) => {
        group.beside = await measureBeside(started, directory, options, exporting(started.port));
        return 'measured';
      }),
    );
}
