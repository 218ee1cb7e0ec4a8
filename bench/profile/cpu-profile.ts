import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../database/seed.ts';

/** What V8 writes for `--cpu-prof`, as far as it is used here. Times are microseconds of the monotonic clock. */
interface Profile {
  nodes: ProfileNode[];
  startTime: number;
  samples: number[];
  timeDeltas: number[];
}

interface ProfileNode {
  id: number;
  callFrame: { functionName: string; url: string; lineNumber: number };
  children?: number[];
}

export interface Cost {
  name: string;
  micros: number;
}

/** Microseconds of each function, each file's package, and (with what they call) Muster's own functions. */
export interface Costs {
  total: number;
  idle: number;
  packages: Cost[];
  functions: Cost[];
  own: Cost[];
}

export async function readProfile(folder: string, from = 0, to = Number.POSITIVE_INFINITY): Promise<Costs> {
  const file = (await readdir(folder)).find((name) => name.endsWith('.cpuprofile'));
  if (file === undefined) throw new Error(`${folder} holds no profile`);
  const profile: Profile = JSON.parse(await readFile(join(folder, file), 'utf8'));
  return costsOf(profile, from, to);
}

/** The same clock as the one in profiles. */
export function nowMicros(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

function costsOf(profile: Profile, from: number, to: number): Costs {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map(
    profile.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])),
  );
  const [packages, functions, own] = [new Map(), new Map(), new Map()] as Map<string, number>[];
  let [total, idle, time] = [0, 0, profile.startTime];
  for (const [index, id] of profile.samples.entries()) {
    const micros = profile.timeDeltas[index] ?? 0;
    time += micros;
    const node = nodes.get(id);
    if (node === undefined || time < from || time > to) continue;
    if (node.callFrame.functionName === '(idle)') {
      idle += micros;
      continue;
    }
    total += micros;
    add(packages, packageOf(node), micros);
    add(functions, nameOf(node), micros);
    const stack = new Set<string>();
    for (let at: ProfileNode | undefined = node; at !== undefined; at = nodes.get(parents.get(at.id) ?? -1)) {
      if (packageOf(at) === OWN) stack.add(nameOf(at));
    }
    for (const name of stack) add(own, name, micros);
  }
  return { total, idle, packages: sorted(packages), functions: sorted(functions), own: sorted(own) };
}

function add(costs: Map<string, number> | undefined, name: string, micros: number): void {
  costs?.set(name, (costs.get(name) ?? 0) + micros);
}

function sorted(costs: Map<string, number> | undefined): Cost[] {
  return [...(costs ?? [])].map(([name, micros]) => ({ name, micros })).sort((a, b) => b.micros - a.micros);
}

const OWN = 'own code';

/** The package a function belongs to: `node` for Node's own, `(program)` and `(garbage collector)` as V8 calls them. */
export function packageOf({ callFrame: { functionName, url } }: ProfileNode): string {
  const inModules = url.split('node_modules/').at(-1);
  if (url.includes('node_modules/') && inModules !== undefined) {
    return inModules.split('/', inModules.startsWith('@') ? 2 : 1).join('/');
  }
  if (url.startsWith('node:'))
    return url.startsWith('node:internal/modules') ? 'node (loading modules)' : 'node';
  if (url.startsWith('file://')) return OWN;
  return functionName.startsWith('(') ? functionName : 'native';
}

function nameOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  const path = url.startsWith('file://') ? fileURLToPath(url).replace(ROOT, '') : url;
  const short = path.split('node_modules/').at(-1) ?? path;
  return `${functionName || '(anonymous)'}${short === '' ? '' : ` ${short}:${lineNumber + 1}`}`;
}
