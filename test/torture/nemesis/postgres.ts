import { setTimeout as wait } from 'node:timers/promises';
import type { Fault } from '../fault.ts';
import { type Scene, torment } from '../torment.ts';
import { type Gate, startGate } from './gate.ts';

function postgresOf({ postgres }: Scene) {
  if (postgres === undefined) throw new Error('there is no PostgreSQL');
  return postgres;
}

export const killPostgres: Fault = {
  name: 'kill-postgres',
  what: "`kill -9` of PostgreSQL's postmaster every 5 to 10 s; it is back after up to 2 s",
  databases: ['postgresql'],
  run: (setting) =>
    torment(setting, {
      rounds: 1,
      async strike(scene) {
        await wait(scene.random.between(3000, 6000));
        await postgresOf(scene).restart('SIGKILL', scene.random.between(0, 2000));
        await wait(scene.random.between(2000, 4000));
        scene.count('kills');
      },
    }),
};

export const killBackends: Fault = {
  name: 'kill-backends',
  what: 'backends of PostgreSQL are terminated under load, one or all, several times a second',
  databases: ['postgresql'],
  run: (setting) =>
    torment(setting, {
      rounds: 20,
      async strike(scene) {
        await scene.acknowledged(scene.random.between(5, 60));
        const some = scene.random.next() < 0.3 ? '' : 'order by random() limit 1';
        const killed = await postgresOf(scene).query(
          `select pg_terminate_backend(pid) from (select pid from pg_stat_activity
           where application_name = 'muster' ${some}) as one`,
        );
        scene.count('backends', killed.length);
      },
    }),
};

export const halfOpenDatabase: Fault = {
  name: 'half-open-database',
  what: 'connections to PostgreSQL go silent, are cut, or break off in the middle of a message',
  databases: ['postgresql'],
  run(setting) {
    let gate: Gate;
    return torment(setting, {
      rounds: 3,
      // One way for both replicas: a network breaks for all behind it.
      async detour(url, life) {
        gate = await startGate(life, Number(new URL(url).port));
        return url.replace(/:\d+\//, `:${gate.port}/`);
      },
      async strike({ random, round, count, acknowledged }) {
        await acknowledged(random.between(50, 150));
        const kind = round % 3;
        if (kind === 1) gate.cutAfter(random.between(1, 4000));
        else if (kind === 2) gate.cut();
        else {
          gate.silence();
          await wait(random.between(2000, 5000));
          gate.pass();
        }
        count(['silences', 'broken in a message', 'cut'][kind] ?? '');
        await acknowledged(100);
      },
    });
  },
};
