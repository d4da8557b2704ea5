// A real Keyward: the binary of this build on a fresh data directory and a free port, and its command line beside it.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BINARY = process.env.KEYWARD_BINARY ?? join(ROOT, 'target/debug/keyward');
const PYTHON = join(ROOT, '.venv/bin/python');

/** A password that may be chosen. */
export const PASSWORD = 'tidal oboe lantern fig';

/** Runs a program to its end. Fails unless it succeeds. */
export function run(program, args, { input, ...options } = {}) {
  const ran = spawnSync(program, args, { encoding: 'utf8', input: input ?? '', ...options });
  if (ran.error) throw ran.error;
  if (ran.status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${ran.status}:\n${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}

export class Keyward {
  /** Starts a server with `serve` or `demo`; `settings` is the text of its keyward.toml. */
  static async start(settings = '', command = 'serve') {
    const directory = mkdtempSync(join(tmpdir(), 'keyward-e2e-'));
    writeFileSync(join(directory, 'keyward.toml'), settings);
    const keyward = new Keyward(directory);
    await keyward.serve(command);
    return keyward;
  }

  constructor(directory) {
    this.directory = directory;
    this.environment = { PATH: process.env.PATH, HOME: directory };
    this.output = '';
    this.data = 'data';
  }

  async serve(command = 'serve') {
    // Where there is an operator, no link is printed to wait for.
    const isNew = !existsSync(this.file(this.data));
    this.process = spawn(BINARY, [command, '--listen', '127.0.0.1:0', '--data', this.data], {
      cwd: this.directory,
      env: this.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.ended = new Promise((resolve, reject) => {
      this.process.once('error', reject);
      this.process.once('exit', (code, signal) => resolve({ code, signal }));
    });
    this.process.stderr.on('data', (text) => { this.output += text; });
    const lines = createInterface({ input: this.process.stdout });
    const listens = new Promise((resolve) => {
      lines.on('line', (line) => {
        this.output += `${line}\n`;
        this.setUpLink = line.match(/open (http\S+\/set-up\/\S+)/)?.[1] ?? this.setUpLink;
        const url = line.match(/^keyward listens on (http\S+)/)?.[1];
        if (url) this.url = url;
        // The link, and what the demo did, come after the address.
        const isReady = { serve: isNew ? this.setUpLink : url, demo: line.startsWith('Ctrl-C') }[command];
        if (isReady) resolve();
      });
    });
    const ended = this.ended.then(({ code, signal }) => {
      throw new Error(`keyward serve ended early (${code ?? signal}):\n${this.output}`);
    });
    await Promise.race([listens, ended]);
    // The promise that loses the race settles when the server ends; nothing awaits it.
    ended.catch(() => {});
  }

  async stop() {
    await this.end();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Takes a backup, and continues with the restored data. Every session ends, every key is suspended. */
  async restoreFromBackup() {
    this.run(['backup', 'backup.db', '--data', this.data]);
    await this.end();
    this.run(['restore', 'backup.db', '--data', 'restored', '--installation-key', `${this.data}/installation.key`]);
    this.data = 'restored';
    await this.serve();
  }

  async end() {
    this.process.kill('SIGTERM');
    const { code, signal } = await this.ended;
    if (code !== 0) throw new Error(`keyward serve ended with ${code ?? signal}:\n${this.output}`);
  }

  /** `keyward …` in the directory of this test. */
  run(args, options) {
    return run(BINARY, args, { cwd: this.directory, env: this.environment, ...options });
  }

  /** `keyward admin …`, beside the running server. */
  admin(command, args, options) {
    return this.run(['admin', command, '--data', this.data, ...args], options);
  }

  file(name) {
    return join(this.directory, name);
  }

  /** A user `NAME@example.com` with {@link PASSWORD}. */
  createUser(name, ...flags) {
    const email = `${name.toLowerCase()}@example.com`;
    this.admin('create-user', ['--email', email, '--name', name, '--password-stdin', ...flags], { input: PASSWORD });
    return email;
  }

  /** A workspace of that slug, whose admin is a user. */
  createWorkspace(slug, admin, name = slug[0].toUpperCase() + slug.slice(1)) {
    this.admin('create-workspace', ['--name', name, '--slug', slug, '--admin', admin]);
  }

  /** A service account; its address. */
  createServiceAccount(workspace, name) {
    this.admin('create-service-account', ['--workspace', workspace, '--name', name]);
    return `${name}@${workspace}.sa.keyward.local`;
  }

  /** A fresh key pair by ssh-keygen in `name` and `name.pub`; the public line. */
  sshKeygen(name) {
    run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', this.file(name)]);
    return run('cat', [this.file(`${name}.pub`)]).trim();
  }

  /** A private key file, as programs want it: readable by its owner only. */
  writePrivateKey(name, text) {
    writeFileSync(this.file(name), text, { mode: 0o600 });
  }

  /** Registers a fresh key under a title; the name of its file. */
  addKey(owner, title, ...more) {
    const name = `key-${title.replace(/\W/g, '')}`.slice(0, 40);
    this.sshKeygen(name);
    this.admin('add-key', [...owner, '--title', title, '--public-key-file', `${name}.pub`, ...more]);
    return name;
  }

  /** What `keyward whoami` says of a private key file. */
  whoami(file) {
    return this.run(['whoami', '--url', this.url, '--key', file]);
  }

  /** The titles of the projects that the Encord SDK lists with a private key file. */
  listProjectsWithSdk(file) {
    const script = `
import json, sys
from encord import EncordUserClient
client = EncordUserClient.create_with_ssh_private_key(ssh_private_key_path=sys.argv[1], domain=sys.argv[2])
print(json.dumps(sorted(project.title for project in client.list_projects())))`;
    return JSON.parse(run(PYTHON, ['-c', script, file, this.url], { cwd: this.directory }));
  }
}
