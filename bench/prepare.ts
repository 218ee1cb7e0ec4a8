import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BENCH } from './servers.ts';

const run = promisify(execFile);
const bin = (name: string) => join(BENCH, 'node_modules/.bin', name);

/** Makes what some peers need before they start: NestJS' decorators compiled, Prisma's clients generated. */
export async function prepare(names: readonly string[]): Promise<void> {
  await rm(join(BENCH, 'build'), { recursive: true, force: true });
  if (names.includes('nestjs-typeorm')) await compileNest();
  if (names.includes('fastify-prisma')) await generatePrisma();
}

async function compileNest(): Promise<void> {
  await run(bin('tsc'), ['-p', 'peers/nestjs-typeorm'], { cwd: BENCH });
}

/**
 * `prisma generate` fetches a program for migrations, which is not used here, from a server that may be out of reach;
 * told that there is one, it does not.
 */
async function generatePrisma(): Promise<void> {
  const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' };
  for (const dialect of ['sqlite', 'postgresql']) {
    const schema = `peers/fastify-prisma/${dialect}.prisma`;
    await run(bin('prisma'), ['generate', '--schema', schema], { cwd: BENCH, env });
  }
}
