import type { Writable } from 'node:stream';

/** How far something is. The time that is left goes by `part`, from 0 to 1, if there is a total. */
export interface Amount {
  done: number;
  unit: 'rows' | 'bytes';
  part?: number;
}

const REDRAW_MS = 100;
const LINE_MS = 5000;
/** Nor more lines than this, however fast the tenths go by. */
const LEAST_LINE_MS = 1000;
/** Rate and time left are those of so long: what is asked for is how it goes now. */
const WINDOW_MS = 10_000;
const BAR = 24;

type Output = Writable & { isTTY?: boolean; columns?: number };

/** One line that is drawn again and again on a terminal; elsewhere a line every 5 seconds and at each tenth. No colours, no escape codes. */
export class Progress {
  readonly #output: Output;
  readonly #label: string;
  readonly #seen: { at: number; done: number; part: number }[] = [];
  readonly #timer: NodeJS.Timeout;
  #amount: Amount | undefined;
  #drawn = 0;
  #drawnAt = performance.now();
  #tenth = 0;

  constructor(output: Output, label: string) {
    this.#output = output;
    this.#label = label;
    this.#timer = setInterval(() => this.#tick(), output.isTTY ? REDRAW_MS : LEAST_LINE_MS);
  }

  update(amount: Amount): void {
    this.#amount = amount;
    const at = performance.now();
    this.#drawTenth(at, amount);
    const last = this.#seen.at(-1);
    // A task that begins anew after a crash may go back.
    if (last !== undefined && amount.done < last.done) this.#seen.length = 0;
    else if (last !== undefined && at - last.at < REDRAW_MS) return;
    this.#seen.push({ at, done: amount.done, part: amount.part ?? 0 });
    while (this.#seen.length > 2 && at - (this.#seen[0]?.at ?? at) > WINDOW_MS) this.#seen.shift();
  }

  /** Draws for the last time; nothing happens the second time. */
  end(): void {
    clearInterval(this.#timer);
    if (this.#output.isTTY) {
      this.#draw();
      if (this.#drawn > 0) this.#output.write('\n');
    }
    this.#amount = undefined;
    this.#drawn = 0;
  }

  #drawTenth(at: number, { part = 0 }: Amount): void {
    const tenth = Math.floor(part * 10);
    if (this.#output.isTTY || tenth <= this.#tenth || at - this.#drawnAt < LEAST_LINE_MS) return;
    this.#tenth = tenth;
    this.#draw();
  }

  #tick(): void {
    if (this.#output.isTTY || performance.now() - this.#drawnAt >= LINE_MS) this.#draw();
  }

  #draw(): void {
    if (this.#amount === undefined) return;
    const line = this.#line(this.#amount);
    this.#drawnAt = performance.now();
    if (!this.#output.isTTY) {
      this.#output.write(`${line}\n`);
      return;
    }
    const fitting = line.slice(0, (this.#output.columns || 80) - 1);
    // Blanks over what was longer; a terminal may know no other way to erase.
    this.#output.write(`\r${fitting.padEnd(this.#drawn)}`);
    this.#drawn = fitting.length;
  }

  #line({ done, unit, part }: Amount): string {
    const [first] = this.#seen;
    const seconds = first === undefined ? 0 : (performance.now() - first.at) / 1000;
    const perSecond = (now: number, then = 0) => (seconds < 0.2 ? 0 : Math.max(0, now - then) / seconds);
    const words = [this.#label];
    if (part !== undefined) {
      if (this.#output.isTTY) words.push(`[${'#'.repeat(part * BAR).padEnd(BAR, '-')}]`);
      words.push(`${Math.floor(part * 100)} %`.padStart(5));
    }
    words.push(inUnit(done, unit), `${inUnit(perSecond(done, first?.done), unit)}/s`);
    const pace = perSecond(part ?? 0, first?.part);
    if (part !== undefined && pace > 0 && part < 1) words.push(`${inTime((1 - part) / pace)} left`);
    return words.join('  ');
  }
}

export function inUnit(amount: number, unit: Amount['unit']): string {
  if (unit === 'bytes') return `${(amount / 1e6).toFixed(1)} MB`;
  return `${Math.round(amount).toLocaleString('en')} rows`;
}

function inTime(seconds: number): string {
  const whole = Math.ceil(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return parts.map((part) => `${part}`.padStart(2, '0')).join(':');
}
