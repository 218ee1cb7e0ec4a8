import { connect, type Socket } from 'node:net';

/** How a request ended: the status, or 0 when the connection ended before the answer. */
export type Done = (status: number) => void;

/**
 * One connection of HTTP/1.1, one request at a time. Answers are counted, not kept: a client that parses them would be the
 * bottleneck of the test itself. It opens anew when the server has closed it.
 */
export class Wire {
  readonly #port: number;
  #socket: Socket | undefined;
  #done: Done | undefined;
  #head = '';
  /** Bytes of the body still to come; -1 while the head is read. */
  #missing = -1;
  #status = 0;

  constructor(port: number) {
    this.#port = port;
  }

  /** Resolves when it is connected, or cannot be. */
  async open(): Promise<void> {
    this.#socket ??= this.#open();
    const socket = this.#socket;
    await new Promise<void>((resolve) => {
      socket.once('connect', resolve);
      socket.once('close', () => resolve());
    });
  }

  send(request: string, done: Done): void {
    this.#done = done;
    this.#missing = -1;
    this.#head = '';
    this.#socket ??= this.#open();
    this.#socket.write(request, 'latin1');
  }

  close(): void {
    this.#done = undefined;
    this.#socket?.destroy();
  }

  #open(): Socket {
    const socket = connect({ host: '127.0.0.1', port: this.#port, noDelay: true });
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = undefined;
      this.#end(0);
    });
    return socket;
  }

  #read(chunk: Buffer): void {
    if (this.#missing >= 0) {
      this.#missing -= chunk.length;
    } else {
      this.#head += chunk.toString('latin1');
      const end = this.#head.indexOf('\r\n\r\n');
      if (end < 0) return;
      this.#status = Number(this.#head.slice(9, 12));
      const length = Number(/content-length: (\d+)/i.exec(this.#head.slice(0, end + 2))?.[1] ?? 0);
      this.#missing = length - (this.#head.length - end - 4);
    }
    if (this.#missing <= 0) this.#end(this.#status);
  }

  #end(status: number): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(status);
  }
}
