import { setTimeout as wait } from 'node:timers/promises';
import { buildApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { createUser } from '../../src/users/users.ts';

/**
 * A service in a process of its own, with two routes more: `POST /storm/undone?email=…` creates a user in a transaction
 * that is then undone, `POST /storm/held?email=…&ms=…` in one that stays open for so long.
 */
const app = await buildApp(loadConfig(), process.stdout);

interface Query {
  email: string;
  ms: number;
}

const querystring = {
  type: 'object',
  properties: { email: { type: 'string' }, ms: { type: 'integer' } },
};

app.post<{ Querystring: Query }>(
  '/storm/undone',
  { schema: { security: [], querystring } },
  async ({ query: { email } }, reply) => {
    const write = app.write(async (tx) => {
      await createUser(tx, { name: 'Undone', email });
      throw new Error('undone on purpose');
    });
    await write.catch(() => {});
    return reply.send('undone');
  },
);

app.post<{ Querystring: Query }>(
  '/storm/held',
  { schema: { security: [], querystring } },
  async ({ query: { email, ms } }, reply) => {
    const { version } = await app.write(async (tx) => {
      const user = await createUser(tx, { name: 'Held', email });
      await wait(ms);
      return user;
    });
    return reply.send(`held ${version}`);
  },
);

const address = await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) });
app.log.info(`Muster is ready. The docs are at ${address}/docs`);
