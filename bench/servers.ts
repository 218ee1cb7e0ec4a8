import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT } from './database/seed.ts';
import type { WorkName } from './works.ts';

export const BENCH = fileURLToPath(new URL('./', import.meta.url));

export interface Server {
  name: string;
  title: string;
  command: readonly string[];
  cwd: string;
  env?: Record<string, string>;
  /** It answers from memory, so that its database does not matter. */
  isFloor?: true;
  /** Why it cannot run here, if it cannot. */
  missing?: () => string | undefined;
}

export const MUSTER = 'muster';
export const HAND_WRITTEN = 'fastify-sql';
export const FLOOR = 'node-http';
export const PLAIN_ORM = 'fastify-mikro-orm';

const peer = (name: string, title: string, file = `peers/${name}/server.ts`): Server => ({
  name,
  title,
  command: [process.execPath, file],
  cwd: BENCH,
});

export const SERVERS: readonly Server[] = [
  { ...peer(FLOOR, 'bare node:http, no database'), isFloor: true },
  peer(HAND_WRITTEN, 'Fastify + hand-written SQL'),
  {
    name: MUSTER,
    title: 'Muster',
    command: musterCommand(),
    cwd: ROOT,
    env: { LOG_LEVEL: 'warn' },
  },
  peer('fastify-drizzle', 'Fastify + Drizzle'),
  peer('fastify-prisma', 'Fastify + Prisma'),
  peer(PLAIN_ORM, 'Fastify + MikroORM'),
  peer('express-typeorm', 'Express + TypeORM'),
  peer('nestjs-typeorm', 'NestJS + TypeORM', 'build/peers/nestjs-typeorm/server.js'),
  {
    name: 'flask-tortoise',
    title: 'the tutorial: Flask + Tortoise',
    command: ['python3', 'peers/flask-tortoise/service.py'],
    cwd: BENCH,
    missing: missingPython,
  },
];

/** As `npm start` starts it, whatever options it gives to Node. */
function musterCommand(): string[] {
  return [process.execPath, ...startArguments()];
}

export function musterNodeOptions(): string[] {
  return startArguments().filter((argument) => argument.startsWith('--'));
}

function startArguments(): string[] {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const [, args] = /^exec node (.+)$/.exec(scripts.start) ?? [];
  if (args === undefined) throw new Error(`npm start is not "exec node …" but ${scripts.start}`);
  return args.split(' ');
}

function missingPython(): string | undefined {
  for (const module of ['flask', 'tortoise', 'asgiref']) {
    try {
      execFileSync('python3', ['-c', `import ${module}`], { stdio: 'ignore' });
    } catch {
      return `no Python with the module ${module} here`;
    }
  }
  return undefined;
}

/** Only Muster pages by cursor, so only for it is the last page found; `npm run pages` looks closer. */
export function does(server: Server, work: WorkName): boolean {
  return work !== 'list-last' || server.name === MUSTER;
}
