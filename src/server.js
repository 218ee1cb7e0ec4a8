import { createRequire, enableCompileCache } from 'node:module';

/**
 * The process's entry. Half the time to the first answer is loading modules: compiled code is kept between starts, and
 * `require` loads the graph of ES modules without a promise for each.
 */
enableCompileCache();
createRequire(import.meta.url)('./serve.ts');
