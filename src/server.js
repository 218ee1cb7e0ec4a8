import { createRequire, enableCompileCache } from 'node:module';

/**
 * The process's entry. Half the time to the first answer is loading modules: compiled code is kept between starts, and
 * `require` loads the graph of ES modules without a promise for each. This file is JavaScript because it runs before
 * anything is kept: to take types off it, Node would load its compiler at each start, 28 ms.
 */
enableCompileCache();
createRequire(import.meta.url)('./serve.ts');
