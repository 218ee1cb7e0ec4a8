import { setTimeout as wait } from 'node:timers/promises';
import type { Fault } from '../fault.ts';
import { type Scene, torment } from '../torment.ts';

/** One of the services, each in turn. */
function nextService({ services, round }: Scene) {
  const at = round % services.length;
  const service = services[at];
  if (service === undefined) throw new Error('there is no service');
  return { at, service };
}

export const killService: Fault = {
  name: 'kill-service',
  what: '`kill -9` of the service under load, of one replica after the other on PostgreSQL',
  databases: ['sqlite', 'postgresql'],
  run: (setting) =>
    torment(setting, {
      rounds: 6,
      async strike(scene) {
        await scene.acknowledged(scene.random.between(10, 150));
        const { at, service } = nextService(scene);
        await service.end('SIGKILL');
        scene.count('kills');
        await scene.start(at);
      },
    }),
};

export const freezeService: Fault = {
  name: 'freeze-service',
  what: 'the service is stopped for seconds (SIGSTOP) and goes on, on PostgreSQL one replica after the other',
  databases: ['sqlite', 'postgresql'],
  run: (setting) =>
    torment(setting, {
      rounds: 2,
      async strike(scene) {
        await scene.acknowledged(scene.random.between(100, 200));
        const { service } = nextService(scene);
        service.process.kill('SIGSTOP');
        await wait(scene.random.between(1000, 3000));
        service.process.kill('SIGCONT');
        await scene.acknowledged(100);
        scene.count('freezes');
      },
    }),
};
