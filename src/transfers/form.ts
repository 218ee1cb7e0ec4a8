import { MIMEParams, MIMEType } from 'node:util';
import type { Dicer } from '@fastify/busboy';
import { Malformed } from '../errors.ts';

/** The file of a form, whose bytes are read once. */
interface FormFile {
  /** Its `Content-Type`. */
  type: string;
  name: string;
  bytes: AsyncIterable<Buffer>;
}

/**
 * Finds the file in a form (RFC 7578) while that arrives. It is all that a form may hold: whatever else came with it
 * would be dropped. When nobody reads the file to its end, what is left of the form is let pass by.
 * @throws {Malformed} `invalid-form`; and what goes wrong later when `bytes` is read
 */
export async function findFile(contentType: string, body: AsyncIterable<Buffer>): Promise<FormFile> {
  const boundary = parametersOf(contentType).get('boundary');
  if (boundary === null) throw invalidForm('it names no boundary');
  const { Dicer } = await import('@fastify/busboy');
  const parser = new Dicer({ boundary });
  const found = Promise.withResolvers<{ part: Dicer.PartStream; type: string; name: string }>();
  let file: Dicer.PartStream | undefined;
  parser.on('part', (part) => {
    part.on('error', () => {}); // told to who reads it; nobody may
    if (file !== undefined) return refuse(parser);
    file = part;
    part.on('header', (header: Record<string, string[]>) => {
      const parameters = parametersOf(`form/${header['content-disposition']?.[0]}`);
      const name = parameters.get('filename') ?? parameters.get('filename*');
      if (name === null) return refuse(parser);
      found.resolve({ part, type: header['content-type']?.[0] ?? 'text/plain', name });
    });
  });
  const passed = pass(parser, body);
  passed.then(
    () => found.reject(invalidForm('it has no file')),
    (error) => {
      found.reject(error);
      file?.destroy(error);
    },
  );
  const { part, type, name } = await found.promise;
  return { type, name, bytes: readFile(part, passed) };
}

function refuse(parser: Dicer): void {
  parser.emit(
    'error',
    new Error('it may hold one file and nothing else; options go into the query, as in ?dryRun=true'),
  );
}

/** Of a media type, or of what is written like one. */
function parametersOf(value: string): MIMEParams {
  try {
    return new MIMEType(value).params;
  } catch {
    return new MIMEParams();
  }
}

async function* readFile(part: Dicer.PartStream, passed: Promise<void>): AsyncGenerator<Buffer> {
  try {
    yield* part.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
    await passed; // it is whole only when the form is
  } finally {
    part.resume();
  }
}

async function pass(parser: Dicer, body: AsyncIterable<Buffer>): Promise<void> {
  const ended = new Promise<void>((resolve, reject) => {
    parser.once('finish', resolve);
    parser.on('error', (error) => reject(invalidForm(error.message)));
  });
  ended.catch(() => {});
  for await (const chunk of body) {
    const taken = new Promise<void>((resolve) => parser.write(chunk, () => resolve()));
    await Promise.race([taken, ended]);
  }
  parser.end();
  await ended;
}

export function invalidForm(what: string): Malformed {
  return new Malformed('invalid-form', `The form cannot be read (RFC 7578): ${what}.`);
}
