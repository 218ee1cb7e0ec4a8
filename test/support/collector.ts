import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';

export interface Span {
  traceId: string;
  spanId: string;
  parentId: string;
  name: string;
  kind: number;
  attributes: Record<string, string | number>;
  failed: boolean;
}

export interface Collector {
  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  url: string;
  spans: Span[];
  /** Waits until so many spans have come. */
  until(count: number): Promise<void>;
  /** All that was received, as it was sent. */
  bytes(): string;
}

/** A collector of traces on this machine: OTLP over HTTP, in its binary form. */
export async function startCollector(test: Test): Promise<Collector> {
  const spans: Span[] = [];
  const bodies: Buffer[] = [];
  const waiting: (() => void)[] = [];
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    bodies.push(body);
    if (request.url === '/v1/traces') spans.push(...spansOf(body));
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    for (const one of waiting.splice(0)) one();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    async until(count) {
      while (spans.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
    },
    bytes: () => Buffer.concat(bodies).toString('latin1'),
  };
}

/** ExportTraceServiceRequest → ResourceSpans (1) → ScopeSpans (2) → Span (2), by the numbers in opentelemetry-proto. */
function spansOf(body: Buffer): Span[] {
  return all(body, 1)
    .flatMap((resource) => all(resource, 2))
    .flatMap((scope) => all(scope, 2))
    .map((span) => ({
      traceId: first(span, 1).toString('hex'),
      spanId: first(span, 2).toString('hex'),
      parentId: first(span, 4).toString('hex'),
      name: first(span, 5).toString(),
      kind: Number(fields(span).find(({ field }) => field === 6)?.value),
      attributes: Object.fromEntries(
        all(span, 9).map((one) => [first(one, 1).toString(), readValue(first(one, 2))]),
      ),
      failed: fields(first(span, 15)).some(({ field, value }) => field === 3 && value === 2n),
    }));
}

/** AnyValue: a string (1) or an integer (3). */
function readValue(any: Buffer): string | number {
  const [one] = fields(any);
  return Buffer.isBuffer(one?.value) ? one.value.toString() : Number(one?.value);
}

function all(message: Buffer, wanted: number): Buffer[] {
  return fields(message).flatMap(({ field, value }) =>
    field === wanted && Buffer.isBuffer(value) ? [value] : [],
  );
}

function first(message: Buffer, field: number): Buffer {
  return all(message, field)[0] ?? Buffer.alloc(0);
}

/** https://protobuf.dev/programming-guides/encoding */
function fields(message: Buffer): { field: number; value: Buffer | bigint }[] {
  const found: { field: number; value: Buffer | bigint }[] = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at++);
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const bytes = (length: number) => {
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const key = Number(varint());
    const type = key & 7;
    const value = type === 0 ? varint() : bytes(type === 2 ? Number(varint()) : type === 1 ? 8 : 4);
    found.push({ field: key >> 3, value });
  }
  return found;
}
