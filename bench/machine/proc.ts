import { readFileSync, writeFileSync } from 'node:fs';

/** What Linux tells of a process (proc(5)). */

/** CPU time of a process, all its threads together. The kernel counts in hundredths of a second. */
export class CpuClock {
  readonly #pid: number;
  readonly #from: number;

  constructor(pid: number) {
    this.#pid = pid;
    this.#from = cpuMicros(pid);
  }

  elapsedMicros(): number {
    return cpuMicros(this.#pid) - this.#from;
  }
}

const MICROS_PER_TICK = 10_000;

function cpuMicros(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field, the name, may hold anything: count from its closing bracket. utime and stime are 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MICROS_PER_TICK;
}

/** CPU time that anything at all took on a core, also what the hypervisor gave to others. */
export function coreMicros(core: number): number {
  const line = new RegExp(`^cpu${core} (.*)$`, 'm').exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? '';
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(' ').map(Number);
  return (user + nice + system + irq + softirq + steal) * MICROS_PER_TICK;
}

/** Lets `peakBytes` begin anew, where the kernel allows it; else the peak is that of the whole life. */
export function resetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // some containers keep it read-only: the peak is then too high for all alike
  }
}

/** The most memory that the process held at once (VmHWM). */
export function peakBytes(pid: number): number {
  return statusBytes(pid, 'VmHWM');
}

/** The memory that the process holds (VmRSS). */
export function residentBytes(pid: number): number {
  return statusBytes(pid, 'VmRSS');
}

function statusBytes(pid: number, name: string): number {
  const line = new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (line === null) throw new Error(`/proc/${pid}/status has no ${name}`);
  return Number(line[1]) * 1024;
}
