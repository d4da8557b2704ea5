/** Stands before a server and loses answers: the server has done what it was asked, and the client does not learn of it. */

import { createServer, connect, type Socket } from 'node:net';
import { once } from 'node:events';

export class LosingProxy {
  readonly origin: string;
  /** How many answers are lost from now on. */
  lose = 0;
  /** How many answers were lost. */
  lost = 0;
  readonly #target: { origin?: string };
  readonly #close: () => Promise<void>;

  private constructor(origin: string, target: { origin?: string }, close: () => Promise<void>) {
    this.origin = origin;
    this.#target = target;
    this.#close = close;
  }

  static async start(): Promise<LosingProxy> {
    const target: { origin?: string } = {};
    const sockets = new Set<Socket>();
    const server = createServer((client) => {
      const upstream = connect(Number(new URL(target.origin ?? '').port), '127.0.0.1');
      for (const socket of [client, upstream]) {
        sockets.add(socket);
        // Either end may break the connection; that is the point.
        socket.on('error', () => undefined);
        socket.on('close', () => {
          sockets.delete(socket);
          client.destroy();
          upstream.destroy();
        });
      }
      client.pipe(upstream);
      upstream.on('data', (bytes) => {
        if (proxy.lose === 0) {
          client.write(bytes);
          return;
        }
        proxy.lose -= 1;
        proxy.lost += 1;
        client.destroy();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const proxy = new LosingProxy(`http://127.0.0.1:${address.port}`, target, async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    });
    return proxy;
  }

  /** Where the server is. */
  leadTo(origin: string): void {
    this.#target.origin = origin;
  }

  stop(): Promise<void> {
    return this.#close();
  }
}
