import { Readable } from 'node:stream';
import { type Command, EXIT, readWholeNumber } from './command.ts';
import { checkOutput, writeOutput } from './output.ts';
import { SAMPLE_HEADER, SAMPLE_SEED, sampleRows } from './sample.ts';

export const sample: Command = {
  name: 'sample',
  args: 'COUNT',
  help: 'writes a CSV of COUNT people to try things with; 1 % of the rows are broken',
  options: {
    output: { short: 'o', value: 'FILE', help: 'where to, rather than to stdout' },
    seed: { value: 'N', help: `the same seed gives the same bytes (${SAMPLE_SEED})` },
  },
  async run({ args: [number = ''], options, signal }) {
    const count = readWholeNumber('COUNT', number, 1_000_000_000);
    const seed = readWholeNumber('--seed', options.seed ?? `${SAMPLE_SEED}`, 2 ** 32 - 1);
    await checkOutput(options.output);
    await writeOutput(options.output, Readable.from(blocks(count, seed)), signal);
    return EXIT.done;
  },
};

const BLOCK_BYTES = 1 << 16;

async function* blocks(count: number, seed: number): AsyncGenerator<Buffer> {
  let block: Buffer[] = [Buffer.from(SAMPLE_HEADER)];
  let size = 0;
  for (const { bytes } of await sampleRows(count, seed)) {
    block.push(bytes);
    size += bytes.length;
    if (size < BLOCK_BYTES) continue;
    yield Buffer.concat(block);
    block = [];
    size = 0;
  }
  yield Buffer.concat(block);
}
