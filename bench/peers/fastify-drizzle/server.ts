import { environment } from '../environment.ts';
import { serve } from '../fastify-app.ts';

/** Drizzle as its page on performance recommends: every query prepared once, with placeholders. */
const { openStore } =
  environment.dialect === 'sqlite' ? await import('./sqlite.ts') : await import('./postgresql.ts');

await serve(openStore());
