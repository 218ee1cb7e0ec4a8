import { storageFaults } from './faults.ts';

const [name, seed = '1', scale = '1', database] = process.argv.slice(2);
for (const fault of storageFaults.filter((one) => one.name === name))
  for (const db of fault.databases.filter((one) => database === undefined || one === database)) {
    const began = performance.now();
    const outcome = await fault.run({
      database: db,
      seed: Number(seed),
      scale: Number(scale),
      log: console.log,
    });
    console.log(fault.name, db, `${Math.round(performance.now() - began)} ms`, outcome);
  }
