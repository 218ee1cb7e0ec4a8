import { readdir, readFile } from 'node:fs/promises';
import t from 'tap';

const SRC = new URL('../src/', import.meta.url);

async function sources(): Promise<{ file: string; text: string; imports: string[] }[]> {
  const files = (await readdir(SRC, { recursive: true })).filter((file) => file.endsWith('.ts')).sort();
  return Promise.all(
    files.map(async (file) => {
      const text = await readFile(new URL(file, SRC), 'utf8');
      const imports = [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map(([, specifier = '']) =>
        specifier.startsWith('.')
          ? new URL(specifier, new URL(file, SRC)).pathname.slice(SRC.pathname.length)
          : specifier,
      );
      return { file, text, imports };
    }),
  );
}

/** Which folders of `src` a folder may import from, beside `errors.ts` and itself. */
const MAY_IMPORT: Record<string, string[]> = {
  db: [],
  http: ['db'],
  tasks: ['db', 'http'],
  changes: ['db', 'http'],
  operations: ['db', 'http'],
  keys: ['db', 'http'],
  users: ['db', 'http', 'tasks', 'changes'],
  cli: ['config.ts', 'db', 'http', 'keys', 'changes', 'entities.ts'],
  webhooks: ['db', 'http', 'tasks', 'changes'],
  transfers: ['db', 'http', 'tasks', 'changes', 'users'],
};

t.test('the rooms of the house import only what is below them', async (t) => {
  const folders = new Set(
    (await sources())
      .map(({ file }) => file.split('/'))
      .filter((path) => path.length > 1)
      .map(([top]) => top),
  );
  t.strictSame([...folders].sort(), Object.keys(MAY_IMPORT).sort(), 'every folder has its rule');
  for (const { file, imports } of await sources()) {
    const [folder = '', ...rest] = file.split('/');
    if (rest.length === 0) continue;
    for (const path of imports.filter((specifier) => specifier.endsWith('.ts'))) {
      const [top = ''] = path.split('/');
      const allowed = [folder, 'errors.ts', ...(MAY_IMPORT[folder] ?? [])];
      t.ok(allowed.includes(top), `${file} may import ${path}`);
    }
  }
});

t.test('only src/db/json.ts asks JSON.parse, which reads some names wrong', async (t) => {
  for (const { file, text } of await sources())
    t.equal(/JSON\.parse\b(?!`)/.test(text), file === 'db/json.ts', file);
});

t.test('only src/db imports a database driver, and only src/config reads the environment', async (t) => {
  for (const { file, text, imports } of await sources()) {
    const drivers = imports.filter((name) =>
      /^(pg|better-sqlite3|kysely|@mikro-orm\/(sqlite|postgresql|migrations))$/.test(name),
    );
    if (!file.startsWith('db/')) t.strictSame(drivers, [], `${file} imports no driver`);
    if (file !== 'config.ts') t.notMatch(text, /process\.env/, `${file} reads no environment`);
  }
});

t.test('TypeBox gives types only: loading it would cost each start 62 ms', async (t) => {
  for (const { file, text } of await sources()) t.notMatch(text, /^import (?!type ).*typebox'/m, file);
});

t.test('a file says one thing: none is over 300 lines', async (t) => {
  for (const { file, text } of await sources()) t.ok(text.split('\n').length <= 300, file);
});
