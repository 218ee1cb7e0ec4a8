import { appendFileSync, existsSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { Type } from 'typebox';
import { buildApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { defineTask } from '../../src/tasks/kinds.ts';

/**
 * A service in a process of its own, with kinds that the tests of crashes need. Its environment, besides Muster's own:
 * `JOURNAL`, a file to which each run adds a line when it begins; `KILL_AT`, the step at which the process kills itself
 * with `kill -9`, once it runs a task of the kind `steps`.
 */

const { JOURNAL = '/dev/null', KILL_AT } = process.env;
const note = (line: string) => appendFileSync(JOURNAL, `${line}\n`);
let armed = false;

/** Adds a user at each of three steps, with a checkpoint for each: never one twice. */
const steps = defineTask({
  kind: 'steps',
  description: 'Three steps.',
  input: Type.Object({ name: Type.String() }),
  async run({ input, attempt, checkpoint, save }) {
    note(`steps ${attempt}`);
    for (let step = Number(checkpoint ?? 0); step < 3; step++) {
      await save(async (tx) => {
        const now = new Date();
        const email = `${input.name}-${step}-${attempt}-${Math.random()}@example.com`;
        await tx.em.execute(
          `insert into users (name, name_key, email, email_key, search_key, attributes, version, created_at, updated_at)
           values (?, ?, ?, ?, '', '{}', 1, ?, ?)`,
          [`${input.name} ${step}`, `${input.name} ${step}`, email, email, now, now],
        );
        return step + 1;
      });
    }
    return { attempt };
  },
});

const fatal = defineTask({
  kind: 'fatal',
  description: 'Kills its process.',
  input: Type.Object({}),
  async run({ attempt }) {
    note(`fatal ${attempt}`);
    await wait(50);
    process.kill(process.pid, 'SIGKILL');
    await wait(10_000);
  },
});

const innocent = defineTask({
  kind: 'innocent',
  description: 'Takes a while, once there is the file `after`.',
  input: Type.Object({
    ms: Type.Integer(),
    name: Type.Optional(Type.String()),
    after: Type.Optional(Type.String()),
  }),
  async run({ input, signal, attempt }) {
    note(`${input.name ?? 'innocent'} ${attempt}`);
    while (input.after !== undefined && !existsSync(input.after)) await wait(10, undefined, { signal });
    await wait(input.ms, undefined, { signal });
  },
});

const app = await buildApp(loadConfig(), process.stdout, {
  kinds: [steps, fatal, innocent],
  reached(step) {
    if (step === 'started') armed = true;
    if (KILL_AT === step && (armed || step === 'claiming' || step === 'claimed')) {
      process.kill(process.pid, 'SIGKILL');
    }
  },
});
const address = await app.listen({ host: '127.0.0.1', port: 0 });
app.log.info(`Muster is ready. The docs are at ${address}/docs`);
process.once('SIGTERM', () => void app.close());
