import { registerHooks } from 'node:module';

/** A process of its own, which builds an app by its environment, uses it, and says which tracing modules it has loaded. */
const loaded: string[] = [];
registerHooks({
  load(url, context, next) {
    if (url.includes('@opentelemetry') || url.includes('operations/spans')) loaded.push(url);
    return next(url, context);
  },
});
const { buildApp } = await import('../../src/app.ts');
const { loadConfig } = await import('../../src/config.ts');
const app = await buildApp(loadConfig());
await app.ready();
const json = { 'content-type': 'application/json' };
const made = await app.inject({
  method: 'POST',
  url: '/users',
  headers: json,
  payload: '{"name":"Ada","email":"ada@example.com"}',
});
await app.inject('/start-task');
await app.close();
console.log(JSON.stringify({ status: made.statusCode, loaded: loaded.length }));
