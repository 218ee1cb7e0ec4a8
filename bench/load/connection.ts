import { connect, type Socket } from 'node:net';

/** What a connection tells when a response has arrived whole, or did not. */
export interface Listener {
  done(connection: Connection, ok: boolean, problem?: string): void;
}

/**
 * One HTTP/1.1 connection with one request at a time, on a bare socket: Node's own client, and autocannon's parser,
 * cost more than the servers they would measure. Responses must have a `Content-Length`. A server that closes
 * is connected to again.
 */
export class Connection {
  /** When the request that is on its way was sent, or should have been; milliseconds of `performance.now()`. */
  startedAt = 0;
  readonly #port: number;
  readonly #listener: Listener;
  #socket!: Socket;
  #waiting = false;
  #closed = false;
  #closeAfter = false;
  #head = '';
  #status = 0;
  /** Bytes of the body that are still to come; -1 while the head is read. */
  #missing = -1;

  constructor(port: number, listener: Listener) {
    this.#port = port;
    this.#listener = listener;
  }

  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect({
        port: this.#port,
        host: '127.0.0.1',
        noDelay: true,
        onread: {
          buffer: Buffer.allocUnsafe(65_536),
          callback: (size, buffer) => {
            this.#read(buffer as Buffer, size);
            return true;
          },
        },
      });
      this.#socket = socket;
      socket.once('connect', resolve);
      socket.on('error', (error) => {
        reject(error);
        this.#lost(socket, error.message);
      });
      socket.on('close', () => this.#lost(socket, 'the server closed the connection'));
    });
  }

  send(request: string, startedAt: number): void {
    this.startedAt = startedAt;
    this.#waiting = true;
    this.#socket.write(request, 'latin1');
  }

  close(): void {
    this.#closed = true;
    this.#waiting = false;
    this.#socket.destroy();
  }

  #read(buffer: Buffer, size: number): void {
    let at = 0;
    if (this.#missing < 0) {
      const before = this.#head.length;
      this.#head += buffer.toString('latin1', 0, size);
      const end = this.#head.indexOf('\r\n\r\n');
      if (end < 0) return;
      this.#readHead(this.#head.slice(0, end + 2));
      at = end + 4 - before;
      this.#head = '';
    }
    this.#missing -= size - at;
    if (this.#missing < 0) this.#fail('more bytes than Content-Length says');
    else if (this.#missing === 0) this.#finish();
  }

  #readHead(head: string): void {
    this.#status = Number(head.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head);
    if (length === null) this.#fail('a response without Content-Length');
    else this.#missing = Number(length[1]);
    this.#closeAfter = /\r\nconnection: *close\r\n/i.test(head);
  }

  #finish(): void {
    this.#missing = -1;
    this.#waiting = false;
    const ok = this.#status >= 200 && this.#status < 300;
    const done = () => this.#listener.done(this, ok, ok ? undefined : `status ${this.#status}`);
    if (!this.#closeAfter) {
      done();
      return;
    }
    this.#closeAfter = false;
    this.#socket.removeAllListeners('close').destroy();
    this.open().then(done, (error: Error) => this.#listener.done(this, false, error.message));
  }

  #fail(problem: string): void {
    this.#missing = Number.POSITIVE_INFINITY;
    this.#socket.destroy(new Error(problem));
  }

  #lost(socket: Socket, problem: string): void {
    if (this.#closed || socket !== this.#socket || !this.#waiting) return;
    this.#waiting = false;
    this.#missing = -1;
    this.#head = '';
    const again = () => this.#listener.done(this, false, problem);
    this.open().then(again, () => {});
  }
}
