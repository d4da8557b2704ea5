// A real SMTP server, and what has come to it.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = new URL('../..', import.meta.url);

export class MailServer {
  static async start() {
    const server = new MailServer();
    server.port = Number(await server.line());
    return server;
  }

  constructor() {
    const [python, script] = ['.venv/bin/python', 'scripts/mail_server.py'].map((path) => fileURLToPath(new URL(path, ROOT)));
    this.process = spawn(python, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }

  async line() {
    const { value, done } = await this.lines.next();
    if (done) throw new Error('the mail server has stopped');
    return value;
  }

  /** The next mail. */
  async mail() {
    return JSON.parse(await this.line());
  }

  stop() {
    this.process.kill();
  }
}
