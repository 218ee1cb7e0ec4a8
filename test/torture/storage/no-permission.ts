import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Life, temporaryFolder } from '../../support/owner.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** `nobody` is on every Unix. */
const NOBODY = 65534;

/** A file that the service's user may not read, or not write: gives what is broken, or why that cannot be tried. */
export async function noPermission(): Promise<{ broken: string[]; skipped?: string }> {
  if (process.getuid?.() !== 0)
    return { broken: [], skipped: 'only root can start a service as another user' };
  const life = new Life();
  const broken: string[] = [];
  try {
    for (const [file, folder] of [
      [0o600, 0o755],
      [0o644, 0o755],
      [0o666, 0o700],
    ] as const) {
      const place = await temporaryFolder(life);
      const path = join(place, 'muster.db');
      writeFileSync(path, 'kept as it is');
      chmodSync(path, file);
      chmodSync(place, folder);
      const { code, output } = await startAsNobody(path);
      if (/EACCES: permission denied, open '.*\.ts'|MODULE_NOT_FOUND|Cannot find/.test(output))
        return { broken, skipped: 'others may not read this checkout' };
      if (code !== 1 || !/^Muster does not start: [^\n]+\n$/.test(output))
        broken.push(
          `without permission (${file.toString(8)} in ${folder.toString(8)}) it ended with ${code}: ${output}`,
        );
      if (readFileSync(path, 'utf8') !== 'kept as it is')
        broken.push('without permission it changed the file');
    }
    return { broken };
  } finally {
    await life.end();
  }
}

async function startAsNobody(path: string) {
  const child = spawn(process.execPath, ['src/server.js'], {
    cwd: ROOT,
    uid: NOBODY,
    gid: NOBODY,
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      DATABASE_URL: `sqlite:${path}`,
      NODE_DISABLE_COMPILE_CACHE: '1',
    },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 120_000,
  });
  const [output, [code, signal]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  return { code: code ?? signal, output };
}
