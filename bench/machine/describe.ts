import { readFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { ROOT } from '../database/seed.ts';

export interface Machine {
  date: string;
  cpu: string;
  cores: number;
  memoryBytes: number;
  system: string;
  node: string;
  versions: Record<string, string>;
}

const PACKAGES = [
  '@mikro-orm/core',
  '@nestjs/core',
  '@prisma/client',
  'better-sqlite3',
  'drizzle-orm',
  'express',
  'fastify',
  'pg',
  'typeorm',
];

/** `packages`: those whose versions are told beside Muster's. */
export async function describeMachine(packages: readonly string[] = PACKAGES): Promise<Machine> {
  const versions = await Promise.all(
    packages.map(async (name) => [
      name,
      await versionOf(new URL(`../node_modules/${name}/`, import.meta.url)),
    ]),
  );
  const muster = await versionOf(new URL(`file://${ROOT}`));
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    system: `Linux ${release().split('-')[0]}`,
    node: process.version,
    versions: { muster, ...Object.fromEntries(versions) },
  };
}

async function versionOf(folder: URL): Promise<string> {
  return JSON.parse(await readFile(new URL('package.json', folder), 'utf8')).version;
}
