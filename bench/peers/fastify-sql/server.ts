import { environment } from '../environment.ts';
import { serve } from '../fastify-app.ts';

/** The hand-written limit: Fastify and the database's own driver, every statement prepared, one commit a request. */
const { openStore } =
  environment.dialect === 'sqlite' ? await import('./sqlite.ts') : await import('./postgresql.ts');

await serve(openStore());
