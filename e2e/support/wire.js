// Everything that a browser sends, byte by byte: the browsers of the tests reach servers through this proxy only.

import { createServer, request } from 'node:http';
import { once } from 'node:events';

export class Wire {
  static async open() {
    const wire = new Wire();
    wire.server.listen(0, '127.0.0.1');
    await once(wire.server, 'listening');
    return wire;
  }

  /** What was sent: method, URL, headers as they came, body. */
  requests = [];

  /** Whether the answer to a request is lost on its way back. Browsers repeat some requests then, so it is asked each time. */
  losesAnswer = () => false;

  constructor() {
    this.server = createServer((incoming, answer) => this.forward(incoming, answer));
    // A tunnel would hide what goes through it; nothing here is HTTPS.
    this.server.on('connect', (incoming, socket) => {
      this.requests.push({ method: 'CONNECT', url: incoming.url, headers: incoming.rawHeaders, body: Buffer.alloc(0) });
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    });
  }

  get url() {
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  async close() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  forward(incoming, answer) {
    const chunks = [];
    incoming.on('data', (chunk) => chunks.push(chunk));
    incoming.on('end', () => {
      const body = Buffer.concat(chunks);
      this.requests.push({ method: incoming.method, url: incoming.url, headers: incoming.rawHeaders, body });
      const url = new URL(incoming.url);
      if (url.hostname !== '127.0.0.1' && !url.hostname.endsWith('.keyward.test')) {
        answer.writeHead(403).end();
        return;
      }
      const headers = { ...incoming.headers };
      delete headers['proxy-connection'];
      // As a proxy with names of its own does.
      if (url.hostname !== '127.0.0.1') headers.host = `127.0.0.1:${url.port}`;
      const onward = request({ host: '127.0.0.1', port: url.port, method: incoming.method, path: url.pathname + url.search, headers });
      onward.on('response', (response) => {
        if (this.losesAnswer({ method: incoming.method, path: url.pathname })) {
          answer.destroy();
          return;
        }
        answer.writeHead(response.statusCode, response.rawHeaders);
        response.pipe(answer);
      });
      // A browser sees what it would see without this proxy: no answer.
      onward.on('error', () => answer.destroy());
      answer.on('close', () => onward.destroy());
      onward.end(body);
    });
  }

  /** The requests to anything but `url`, which has names under keyward.test as well. */
  strangers(url) {
    const { port } = new URL(url);
    const isOurs = (sent) => sent.startsWith(`${url}/`) || new RegExp(`^http://[a-z]+\\.keyward\\.test:${port}/`).test(sent);
    return this.requests.filter((sent) => !isOurs(sent.url)).map((sent) => `${sent.method} ${sent.url}`);
  }

  /** Where a secret was sent, in any form that a page could write it in. */
  find(secret) {
    const forms = encodings(secret);
    return this.requests
      .filter((sent) => spellings(sent).some((bytes) => forms.some((form) => bytes.includes(form))))
      .map((sent) => `${sent.method} ${sent.url}`);
  }
}

/** Raw, hex, base64 and base64url. Of base64, what does not depend on the bytes beside the secret. */
function encodings(secret) {
  const hex = secret.toString('hex');
  const forms = [secret, Buffer.from(hex), Buffer.from(hex.toUpperCase())];
  for (let before = 0; before < 3; before += 1) {
    const padded = Buffer.concat([Buffer.alloc(before), secret]);
    const whole = secret.length + before - ((secret.length + before) % 3);
    const text = padded.subarray(0, whole).toString('base64').slice(before === 0 ? 0 : 4);
    forms.push(Buffer.from(text), Buffer.from(text.replaceAll('+', '-').replaceAll('/', '_')));
  }
  return forms;
}

/** A request as it was sent, without the escapes of URLs and forms, and without line ends. */
function spellings({ url, headers, body }) {
  const all = Buffer.concat([Buffer.from(`${url}\n${headers.join('\n')}\n`), body]);
  const text = all.toString('latin1');
  const plain = text.replaceAll('+', ' ').replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  const joined = text.replace(/%0d|%0a|\\r|\\n|\s/gi, '').replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  return [all, Buffer.from(plain, 'latin1'), Buffer.from(joined, 'latin1')];
}
