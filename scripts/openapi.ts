import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { buildApp } from '../src/app.ts';
import { loadConfig } from '../src/config.ts';

/** `npm run openapi`: writes the API document to the top of the repository, where the client is made from it. */

export const documentFile = fileURLToPath(new URL('../openapi.json', import.meta.url));

/** The document as the service makes it, as text. It depends on no setting, so any app will do. */
export async function renderDocument(): Promise<string> {
  const app = await buildApp(loadConfig({ DATABASE_URL: 'sqlite::memory:', LOG_LEVEL: 'silent' }));
  try {
    await app.ready();
    return `${JSON.stringify(await app.apiDocument(), null, 2)}\n`;
  } finally {
    await app.close();
  }
}

if (import.meta.main) await writeFile(documentFile, await renderDocument());
