import type { Readable } from 'node:stream';
import { Malformed } from '../errors.ts';

/** The file of a form, whose bytes are read once. */
interface FormFile {
  type: string;
  name: string;
  bytes: AsyncIterable<Buffer>;
}

/** Fields that are no files are not read, but have to pass by. */
const LIMITS = { files: 1, fields: 20, fieldSize: 1024, parts: 40, headerSize: 16_384 };

/**
 * Finds the first file in a form (RFC 7578) while that arrives. When nobody reads the file to its end, what is left of
 * the form is let pass by.
 * @throws {Malformed} `invalid-form`; and what goes wrong later when `bytes` is read
 */
export async function findFile(contentType: string, body: AsyncIterable<Buffer>): Promise<FormFile> {
  const { Busboy } = await import('@fastify/busboy');
  const boy = parserOf(() => new Busboy({ headers: { 'content-type': contentType }, limits: LIMITS }));
  const found = Promise.withResolvers<{ stream: Readable; type: string; name: string }>();
  let open: Readable | undefined;
  boy.on('file', (_field, stream, name, _encoding, type) => {
    stream.on('error', () => {}); // told to who reads it; nobody may
    open = stream;
    found.resolve({ stream, type, name: name ?? '' });
  });
  const passed = pass(boy, body);
  passed.then(
    () => found.reject(invalidForm('it has no file')),
    (error) => {
      found.reject(error);
      open?.destroy(error);
    },
  );
  const { stream, type, name } = await found.promise;
  return { type, name, bytes: readFile(stream, passed) };
}

async function* readFile(stream: Readable, passed: Promise<void>): AsyncGenerator<Buffer> {
  try {
    yield* stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
    await passed; // it is whole only when the form is
  } finally {
    stream.resume();
  }
}

async function pass(boy: NodeJS.WritableStream, body: AsyncIterable<Buffer>): Promise<void> {
  const ended = new Promise<void>((resolve, reject) => {
    boy.once('finish', resolve);
    boy.on('error', (error) => reject(invalidForm(error.message)));
  });
  ended.catch(() => {});
  for await (const chunk of body) {
    const taken = new Promise<void>((resolve) => boy.write(chunk, () => resolve()));
    await Promise.race([taken, ended]);
  }
  boy.end();
  await ended;
}

function parserOf<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw invalidForm(error instanceof Error ? error.message : 'it cannot be read');
  }
}

export function invalidForm(what: string): Malformed {
  return new Malformed('invalid-form', `The form cannot be read (RFC 7578): ${what}.`);
}
