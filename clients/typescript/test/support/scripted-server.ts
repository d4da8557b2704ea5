/** An HTTP server that answers as a test says, and remembers what it was asked. */

import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { once } from 'node:events';

export interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Answers one request. */
export type Answer = (response: ServerResponse, request: Received) => void;

export const status =
  (code: number, headers: Readonly<Record<string, string>> = {}, body = ''): Answer =>
  (response) => {
    response.writeHead(code, headers).end(body);
  };

/** Breaks the connection in place of an answer. */
export const hangUp: Answer = (response) => {
  response.socket?.destroy();
};

export class ScriptedServer {
  readonly origin: string;
  readonly received: Received[] = [];
  readonly #close: () => Promise<void>;

  private constructor(origin: string, close: () => Promise<void>) {
    this.origin = origin;
    this.#close = close;
  }

  /** Answers one request after the other as the script says, and the last way from then on. */
  static async start(...script: readonly Answer[]): Promise<ScriptedServer> {
    const http = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { method = '', url = '', headers } = request;
        const received = { method, url, headers, body: Buffer.concat(chunks) };
        const answer = script[Math.min(server.received.length, script.length - 1)] ?? status(200);
        server.received.push(received);
        answer(response, received);
      });
    });
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    const address = http.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const close = async (): Promise<void> => {
      http.closeAllConnections();
      http.close();
      await once(http, 'close');
    };
    const server = new ScriptedServer(`http://127.0.0.1:${address.port}`, close);
    return server;
  }

  /** A header of every request so far. */
  all(name: string): (string | string[] | undefined)[] {
    return this.received.map(({ headers }) => headers[name]);
  }

  stop(): Promise<void> {
    return this.#close();
  }
}
