/** A real Keyward, and its command line beside it. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { once } from 'node:events';

import { BINARY } from './repository.js';

export const WORKSPACE = 'acme';
export const SERVICE_ACCOUNT = `robot@${WORKSPACE}.sa.keyward.local`;
const ADMIN = 'ann@example.com';

export class Keyward {
  readonly directory: string;
  readonly url: string;
  readonly #server: ChildProcess;

  private constructor(directory: string, url: string, server: ChildProcess) {
    this.directory = directory;
    this.url = url;
    this.#server = server;
  }

  /** Starts a server with a workspace, its admin, and a service account. */
  static async start(settings = ''): Promise<Keyward> {
    if (!existsSync(BINARY))
      throw new Error(`there is no ${BINARY}: run \`cargo build\`, or name a server in KEYWARD_BINARY`);
    const directory = mkdtempSync(join(tmpdir(), 'keyward-typescript-'));
    writeFileSync(join(directory, 'keyward.toml'), settings);
    const command = [BINARY, 'serve', '--listen', '127.0.0.1:0', '--data', 'data'] as const;
    const server = spawn(command[0], command.slice(1), {
      cwd: directory,
      env: environment(directory),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    server.stderr.on('data', (text: Buffer) => (output += text.toString()));
    const ended = once(server, 'exit').then((): never => {
      throw new Error(`keyward serve ended early:\n${output}`);
    });
    const listens = new Promise<string>((resolve) => {
      createInterface({ input: server.stdout }).on('line', (line) => {
        const url = /^keyward listens on (http\S+)/.exec(line)?.[1];
        if (url !== undefined) resolve(url);
      });
    });
    const url = await Promise.race([listens, ended]);
    // Nothing awaits the loser of the race.
    ended.catch(() => undefined);
    const keyward = new Keyward(directory, url, server);
    try {
      keyward.admin('create-user', '--email', ADMIN, '--name', 'Ann');
      keyward.admin('create-workspace', '--name', 'Acme', '--slug', WORKSPACE, '--admin', ADMIN);
      keyward.admin('create-service-account', '--workspace', WORKSPACE, '--name', 'robot');
    } catch (error) {
      await keyward.stop();
      throw error;
    }
    return keyward;
  }

  /** Registers a public key for the service account, or for the workspace's admin. */
  addKey(publicKey: string, owner: 'admin' | 'service account' = 'service account'): void {
    const file = join(this.directory, 'key.pub');
    writeFileSync(file, `${publicKey}\n`);
    const of = owner === 'admin' ? ['--user', ADMIN] : ['--service-account', SERVICE_ACCOUNT];
    this.admin('add-key', ...of, '--title', 'test', '--public-key-file', file);
  }

  /** A file in the server's directory. */
  file(name: string): string {
    return join(this.directory, name);
  }

  /** Runs `keyward admin …` beside the server. */
  admin(...args: string[]): string {
    return this.run('admin', ...args, '--data', 'data');
  }

  run(...args: string[]): string {
    const ran = spawnSync(BINARY, args, { cwd: this.directory, env: environment(this.directory), encoding: 'utf8' });
    if (ran.error) throw ran.error;
    if (ran.status !== 0) throw new Error(`keyward ${args.join(' ')}: ${ran.stdout}${ran.stderr}`);
    return ran.stdout;
  }

  async stop(): Promise<void> {
    const exit = once(this.#server, 'exit');
    this.#server.kill('SIGTERM');
    await exit;
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function environment(home: string): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], HOME: home };
}

/** A fresh Ed25519 key pair by ssh-keygen: the private key's text, and the public line. */
export function sshKeygen(directory: string, name: string): { privateKey: string; publicKey: string; file: string } {
  const file = join(directory, name);
  const ran = spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file], { encoding: 'utf8' });
  if (ran.error) throw ran.error;
  if (ran.status !== 0) throw new Error(ran.stderr);
  return { privateKey: readFileSync(file, 'utf8'), publicKey: readFileSync(`${file}.pub`, 'utf8').trim(), file };
}
