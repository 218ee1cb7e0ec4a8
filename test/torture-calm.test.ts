import t from 'tap';
import { backToNormal, type Vitals } from './torture/calm.ts';
import { leftOpen } from './torture/nemesis/clients.ts';

const BEFORE: Vitals = {
  heldBytes: 38_000_000,
  residentBytes: 150_000_000,
  openFiles: 46,
  loopDelayMs: 0.5,
  streams: 0,
  writesWaiting: 0,
  connectionsWaiting: 0,
};

/** A service that is examined again and again: each time as `series` says, and then as at its end. */
function examined(series: readonly Partial<Vitals>[]): () => Promise<Vitals> {
  let at = 0;
  return async () => ({ ...BEFORE, ...series[Math.min(at++, series.length - 1)] });
}

t.test('memory that a service holds for good is found, and memory that it gives back is not', async (t) => {
  const grown = BEFORE.heldBytes + 32 * 2 ** 20 + 1;
  const leak = Array.from({ length: 10 }, (_, n) => ({ heldBytes: grown + n * 1_000_000 }));
  t.match(await backToNormal(examined(leak), BEFORE, 10), [/^10 ms later heldBytes is \d+, was 38000000/]);
  t.match(await backToNormal(examined([{ heldBytes: grown }]), BEFORE, 0), [/^0 ms later heldBytes is/]);
  t.strictSame(await backToNormal(examined([...leak, { heldBytes: grown - 1 }]), BEFORE), []);
  t.strictSame(await backToNormal(examined([...leak.reverse(), {}]), BEFORE), []);
});

/** Of each vital a value that is just too much, and one that may be. */
const LIMITS: Partial<Record<keyof Vitals, [tooMuch: number, allowed: number]>> = {
  residentBytes: [512 * 2 ** 20 + 1, 512 * 2 ** 20],
  openFiles: [46 + 13, 46 + 12],
  loopDelayMs: [101, 100],
  streams: [1, 0],
  writesWaiting: [1, 0],
  connectionsWaiting: [1, 0],
};
for (const [name, [tooMuch, allowed]] of Object.entries(LIMITS))
  t.test(`so is ${name}`, async (t) => {
    for (const value of [tooMuch, Number.NaN]) {
      const [found, ...more] = await backToNormal(examined([{ [name]: value }]), BEFORE, 0);
      t.match(found, new RegExp(`^0 ms later ${name} is ${value}, was `));
      t.strictSame(more, []);
    }
    t.strictSame(await backToNormal(examined([{ [name]: tooMuch }, { [name]: allowed }]), BEFORE), []);
  });

t.test('so is a service that says nothing', async (t) => {
  const silent = () => Promise.reject(new Error('ECONNREFUSED'));
  t.match(await backToNormal(silent, BEFORE, 0), [/there are no metrics: Error: ECONNREFUSED/]);
});

t.test('so is a silent connection that the service has not closed', async (t) => {
  const [closed, open] = [{ readyState: 'closed' }, { readyState: 'open' }] as const;
  t.strictSame(leftOpen([closed, open, closed]), ['1 of 3 silent connections are still open']);
  t.strictSame(leftOpen([closed, closed]), []);
});
