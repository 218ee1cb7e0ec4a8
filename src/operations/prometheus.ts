import { collectDefaultMetrics, Registry } from '@platformatic/prom-client';
import type { Metric, Sample } from './metrics.ts';
import { LATE, within } from './patience.ts';

/*
 * The text format of Prometheus, version 0.0.4. The library knows what to say of the process (CPU, memory, garbage
 * collection, under the names that dashboards for Node.js look for), and has to count all else itself to tell it; what
 * was counted before it was loaded is written here.
 */

/** Of the process, so of all services in it. */
const processMetrics = new Registry();
collectDefaultMetrics({ register: processMetrics });

/** What reading one metric may take. */
const LONGEST_MS = 1000;

/** A metric that cannot be read in time is left out, and counted. */
export async function render(metrics: readonly Metric[]): Promise<string> {
  const families = await Promise.all(metrics.map(renderMetric));
  const unread: Metric = {
    type: 'gauge',
    name: 'muster_metrics_unread',
    help: 'Metrics that could not be read in time, and are not here.',
    read: () => families.filter((family) => family === undefined).length,
  };
  return [
    ...families.filter((family) => family !== undefined),
    await renderMetric(unread),
    await processMetrics.metrics(),
  ].join('\n');
}

async function renderMetric({ name, help, type, read }: Metric): Promise<string | undefined> {
  try {
    const reading = await within(LONGEST_MS, read());
    if (reading === LATE) return undefined;
    const samples = typeof reading === 'number' ? [{ value: reading }] : (reading ?? []);
    const head = [`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`];
    return [...head, ...samples.map(line(name)), ''].join('\n');
  } catch {
    return undefined;
  }
}

function line(name: string) {
  return ({ labels = {}, value, suffix }: Sample): string => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
    return `${name}${suffix ?? ''}${pairs.length === 0 ? '' : `{${pairs.join()}}`} ${value}`;
  };
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
