import { Readable } from 'node:stream';
import { type Command, EXIT } from './command.ts';
import { FORMATS, formatOf } from './import.command.ts';
import { checkOutput, writeOutput } from './output.ts';
import { inUnit, Progress } from './progress.ts';
import { Service } from './service.ts';

const FILTERS = ['email', 'name', 'q'];

export const exportUsers: Command = {
  name: 'export',
  args: '',
  help: 'writes all people, or those that the filters leave, as they are at one moment',
  options: {
    output: {
      short: 'o',
      value: 'FILE',
      help: 'where to, rather than to stdout; it appears when it is whole',
    },
    format: { value: 'FORMAT', oneOf: Object.keys(FORMATS), help: 'if the name of the file does not say it' },
    raw: { help: 'cells byte for byte, also those that a spreadsheet would run as a formula' },
    email: { value: 'EMAIL', help: 'only the person with this email' },
    name: { value: 'NAME', help: 'only people of this name' },
    q: { value: 'TEXT', help: 'only people in whose name or email this stands' },
  },
  async run({ options, signal }) {
    const format = options.format ?? formatOf(options.output);
    const query = new URLSearchParams({ format });
    if (options.raw !== undefined) query.set('raw', 'true');
    for (const filter of FILTERS) if (options[filter] !== undefined) query.set(filter, options[filter]);
    await checkOutput(options.output);
    const service = new Service();
    const answer = await service.request('GET', `/users/export?${query}`);
    const progress = new Progress(process.stderr, 'exporting');
    const rows = rowCounter(format === 'csv');
    const counted = async function* () {
      for await (const chunk of answer) {
        yield chunk;
        progress.update({ done: rows(chunk), unit: 'rows' });
      }
    };
    try {
      const source = Readable.from(counted(), { objectMode: false });
      await service.whole(writeOutput(options.output, source, signal));
    } finally {
      progress.end();
    }
    const position = answer.headers['muster-position'];
    process.stderr.write(
      `Exported ${inUnit(rows(), 'rows')}${position === undefined ? '' : `, as of position ${position}`}.\n`,
    );
    return EXIT.done;
  },
};

/** Counts line ends, of CSV those outside of quotes, without the header. */
function rowCounter(isCsv: boolean) {
  let lines = 0;
  let isQuoted = false;
  return (chunk: Uint8Array = new Uint8Array()): number => {
    for (const byte of chunk) {
      if (byte === 0x22 && isCsv) isQuoted = !isQuoted;
      else if (byte === 0x0a && !isQuoted) lines++;
    }
    return isCsv ? Math.max(0, lines - 1) : lines;
  };
}
