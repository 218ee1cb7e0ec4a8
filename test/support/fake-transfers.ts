import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';

/** What the commands ask of a service, played by hand: a test says when what happens. */
export class FakeTransfers {
  url = '';
  /** Every request, as `POST /users/import?dryRun=true`. */
  readonly requests: string[] = [];
  readonly headers: IncomingMessage['headers'][] = [];
  uploaded = Buffer.alloc(0);
  /** Bytes that arrived; those of a large upload are not kept. */
  uploadedBytes = 0;
  isUploadBroken = false;
  keepsUpload = true;
  task: Record<string, unknown> = { id: 7, kind: 'import', state: 'queued' };
  /** What an import is refused with, at once. */
  refusal: { status: number; body: unknown } | undefined;
  /** What a cancelled task becomes; without it nothing becomes of it. */
  cancelled: Record<string, unknown> | undefined;
  refusedRows = 'line,reason,name,email\n';
  exported: string[] = [];
  breaksExport = false;
  /** Of the task only half is told. */
  breaksLooks = false;
  #server: Server | undefined;
  #waiting: (() => void)[] = [];

  async listen(port = 0): Promise<void> {
    const server = createServer((request, response) => void this.#answer(request, response));
    this.#server = server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** As a process that is killed. */
  async kill(): Promise<void> {
    this.#server?.closeAllConnections();
    this.#server?.close();
    await once(this.#server as Server, 'close');
  }

  async restart(): Promise<void> {
    await this.listen(Number(new URL(this.url).port));
  }

  /** Waits until `condition` holds; it is looked at after each request and each piece of an upload. */
  async until(condition: (fake: this) => boolean): Promise<void> {
    while (!condition(this)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  asked(request: string): boolean {
    return this.requests.includes(request);
  }

  /** How often the task was looked at. */
  get looks(): number {
    return this.requests.filter((request) => request === 'GET /tasks/7').length;
  }

  change(task: Record<string, unknown>): void {
    this.task = { ...this.task, ...task };
  }

  #tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push(`${request.method} ${request.url}`);
    this.headers.push(request.headers);
    const { pathname } = new URL(request.url ?? '', 'http://x');
    const send = (status: number, body: unknown, type = 'application/json') => {
      response.writeHead(status, { 'content-type': type });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    };
    this.#tell();
    if (pathname === '/users/import' && this.refusal !== undefined)
      send(this.refusal.status, this.refusal.body, 'application/problem+json');
    else if (pathname === '/users/import') {
      if (await this.#takeUpload(request)) send(202, this.task);
    } else if (pathname === '/tasks/7/cancel') {
      send(202, this.task);
      if (this.cancelled !== undefined) this.change({ state: 'cancelled', ...this.cancelled });
    } else if (pathname === '/tasks/7/errors') send(200, this.refusedRows, 'text/csv');
    else if (pathname === '/users/export') await this.#export(response);
    else if (pathname !== '/tasks/7') send(404, { detail: 'Nothing is here.' }, 'application/problem+json');
    else if (this.breaksLooks) this.#break(response);
    else send(200, this.task);
    this.#tell();
  }

  async #takeUpload(request: IncomingMessage): Promise<boolean> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) {
        if (this.keepsUpload) chunks.push(chunk);
        this.uploadedBytes += chunk.length;
        this.#tell();
      }
    } catch {
      this.isUploadBroken = true;
      this.#tell();
      return false;
    }
    this.uploaded = Buffer.concat(chunks);
    return true;
  }

  async #export(response: ServerResponse): Promise<void> {
    response.writeHead(200, { 'content-type': 'text/csv', 'muster-position': '42' });
    for (const chunk of this.exported) {
      if (response.closed) return;
      await new Promise((resolve) => response.write(chunk, resolve));
    }
    if (this.breaksExport) response.destroy();
    else response.end();
  }

  #break(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 });
    response.write(JSON.stringify(this.task), () => response.destroy());
  }
}

export async function startFakeTransfers(
  test: Test,
  given: Partial<FakeTransfers> = {},
): Promise<FakeTransfers> {
  const fake = Object.assign(new FakeTransfers(), given);
  await fake.listen();
  test.teardown(() => fake.kill().catch(() => {}));
  return fake;
}
