// The user icon > Profile settings > API keys: one's own keys, made here or pasted.

import { readFileSync } from 'node:fs';
import { run } from '../support/keyward.js';
import { press, tabTo, type } from '../support/keyboard.js';
import { expect, otherPage, signIn, takePrivateKey, test } from '../support/test.js';

async function openNewKey(page) {
  await page.locator('summary[aria-label="Your account"]').click();
  await page.getByRole('link', { name: 'Profile settings' }).click();
  await page.getByRole('link', { name: 'API keys' }).last().click();
  await page.getByRole('link', { name: 'New Key' }).click();
}

test('a person makes a key pair, which downloads at once and signs as them', async ({ ada, keyward, wire }) => {
  await openNewKey(ada);
  const add = ada.getByRole('button', { name: 'Add API key' });
  await ada.getByLabel('Name', { exact: true }).fill('Laptop');
  await expect(add).toBeDisabled();
  const key = await takePrivateKey(ada, keyward, () => ada.getByRole('button', { name: 'Generate key pair' }).click());
  expect(key.name).toBe('Laptop.txt');
  await expect(ada.getByLabel('Public key', { exact: true })).toHaveValue(/^ssh-ed25519 /);
  await expect(add).toBeEnabled();
  await add.click();
  await expect(ada.getByRole('heading', { name: 'The key is added' })).toBeVisible();

  expect(run('ssh-keygen', ['-y', '-f', key.path])).toContain('ssh-ed25519 ');
  expect(keyward.whoami(key.path)).toContain('ada@example.com');
  expect(keyward.listProjectsWithSdk(key.path)).toEqual([]);
  expect(wire.find(key.seed)).toEqual([]);

  await ada.getByRole('link', { name: 'Back to the list' }).click();
  const row = ada.getByRole('row').filter({ hasText: 'Laptop' });
  await expect(row).toContainText(run('ssh-keygen', ['-l', '-f', key.path]).split(' ')[1]);
  await expect(row).toContainText('active');
});

test('a person pastes the public half of a key from ssh-keygen', async ({ ada, keyward }) => {
  const line = keyward.sshKeygen('id');
  await openNewKey(ada);
  const create = ada.getByRole('button', { name: 'Create', exact: true });
  await expect(create).toBeDisabled();
  await ada.getByLabel('Key title').fill('Workstation');
  await expect(create).toBeDisabled();
  await ada.getByLabel('Public key from ssh-keygen').fill(line);
  await create.click();
  await expect(ada.getByRole('row').filter({ hasText: 'Workstation' })).toContainText('SHA256:');
  expect(keyward.whoami('id')).toContain('ada@example.com');
});

test('a private key that is pasted is refused before anything is sent', async ({ ada, keyward, wire }) => {
  keyward.sshKeygen('id');
  const secret = readFileSync(keyward.file('id'), 'utf8');
  await openNewKey(ada);
  const sent = wire.requests.length;
  await ada.getByLabel('Key title').fill('A mistake');
  const field = ada.getByLabel('Public key from ssh-keygen');
  for (const text of [secret, secret.split('\n').slice(1, -2).join('\n'), '{"kty":"OKP","crv":"Ed25519","d":"x","x":"y"}']) {
    await field.fill(text);
    await expect(ada.getByRole('alert').filter({ hasText: 'This is a private key' })).toBeVisible();
    await expect(ada.getByRole('button', { name: 'Create', exact: true })).toBeDisabled();
    await ada.getByLabel('Key title').press('Enter');
  }
  const asked = wire.requests.slice(sent).map((request) => new URL(request.url).pathname);
  expect(asked.filter((path) => !path.startsWith('/static/'))).toEqual([]);
  await expect(ada.getByLabel('Key title')).toHaveValue('A mistake');
});

test('what is wrong with a key stands at its field, and nothing that was typed is lost', async ({ ada, browser, keyward, wire }) => {
  const taken = keyward.sshKeygen('taken');
  keyward.createUser('Bob', '--operator');
  keyward.admin('add-key', ['--user', 'bob@example.com', '--title', 'Of Bob', '--public-key-file', 'taken.pub']);
  run('ssh-keygen', ['-q', '-t', 'rsa', '-b', '1024', '-N', '', '-f', keyward.file('weak')]);
  run('ssh-keygen', ['-q', '-t', 'ecdsa', '-b', '521', '-N', '', '-f', keyward.file('unsupported')]);
  const file = (name) => readFileSync(keyward.file(name), 'utf8').trim();

  await openNewKey(ada);
  for (const [line, sentence] of [
    [taken, /registered already/],
    [file('weak.pub'), /2048/],
    [file('unsupported.pub'), /P-521|not supported|unsupported/i],
    ['ssh-ed25519 AAAA', /./],
  ]) {
    await ada.getByLabel('Key title').fill('Workstation, second floor');
    await ada.getByLabel('Public key from ssh-keygen').fill(line);
    await ada.getByLabel('Key expires').fill('2099-12-31');
    await ada.getByRole('button', { name: 'Create', exact: true }).click();
    await expect(ada.locator('#public_key-wrong')).toContainText(sentence);
    await expect(ada.getByLabel('Public key from ssh-keygen')).toHaveAttribute('aria-invalid', 'true');
    await expect(ada.getByRole('alert').first()).toBeFocused();
    await expect(ada.getByLabel('Key title')).toHaveValue('Workstation, second floor');
    await expect(ada.getByLabel('Public key from ssh-keygen')).toHaveValue(line);
    await expect(ada.getByLabel('Key expires')).toHaveValue('2099-12-31');
  }
  // Where somebody else's key is, is theirs to know.
  await expect(ada.locator('body')).not.toContainText('Of Bob');

  const bob = await otherPage(browser, wire);
  await signIn(bob, keyward, 'Bob');
  await bob.goto(`${keyward.url}/profile/api-keys/new`);
  await bob.getByLabel('Key title').fill('Again');
  await bob.getByLabel('Public key from ssh-keygen').fill(taken);
  await bob.getByRole('button', { name: 'Create', exact: true }).click();
  await expect(bob.locator('#public_key-wrong')).toContainText('registered already');
});

test('the keyboard alone makes a key of one\'s own', async ({ ada, keyward }) => {
  await press(ada, ada.locator('summary[aria-label="Your account"]'));
  await press(ada, ada.getByRole('link', { name: 'Profile settings' }));
  await press(ada, ada.getByRole('link', { name: 'API keys' }).last());
  await press(ada, ada.getByRole('link', { name: 'New Key' }));
  await type(ada, ada.getByLabel('Name', { exact: true }), 'By keyboard');
  await tabTo(ada, ada.getByRole('button', { name: 'Generate key pair' }));
  const key = await takePrivateKey(ada, keyward, () => ada.keyboard.press('Enter'));
  await press(ada, ada.getByRole('button', { name: 'Add API key' }));
  await expect(ada.getByRole('heading', { name: 'The key is added' })).toBeFocused();
  expect(keyward.whoami(key.path)).toContain('ada@example.com');
});

test('a key is paused, goes on, and is revoked with care', async ({ ada, keyward }) => {
  keyward.sshKeygen('id');
  keyward.admin('add-key', ['--user', 'ada@example.com', '--title', 'laptop', '--public-key-file', 'id.pub']);
  expect(keyward.whoami('id')).toContain('ada@example.com');
  await ada.goto(`${keyward.url}/profile/api-keys`);
  await ada.getByRole('link', { name: 'laptop', exact: true }).click();
  await ada.getByRole('button', { name: 'Disable' }).click();
  await expect(ada.getByRole('status')).toContainText('Disabled.');
  expect(() => keyward.whoami('id')).toThrow(/disabled/);
  await ada.getByRole('button', { name: 'Enable' }).click();
  expect(keyward.whoami('id')).toContain('ada@example.com');
  await ada.getByRole('link', { name: 'Revoke' }).click();
  await expect(ada.getByText('Last used:')).toContainText('127.0.0.1');
  await ada.getByLabel('This key is in use').fill('laptop');
  await ada.getByRole('button', { name: 'Revoke' }).click();
  await expect(ada.getByRole('status')).toContainText('Revoked.');
  expect(() => keyward.whoami('id')).toThrow();
  await expect(ada.getByText('No live keys')).toBeVisible();
});

test('a key that somebody else registered is taken with a proof', async ({ ada, keyward }) => {
  const line = keyward.sshKeygen('id');
  keyward.createWorkspace('other', keyward.createUser('Mallory'));
  keyward.admin('add-key', ['--user', 'mallory@example.com', '--title', 'Found it', '--public-key-file', 'id.pub']);
  await openNewKey(ada);
  await ada.getByLabel('Key title').fill('My own');
  await ada.getByLabel('Public key from ssh-keygen').fill(line);
  await ada.getByRole('button', { name: 'Create', exact: true }).click();
  const command = (await ada.locator('#proof-command').innerText()).replace('~/.ssh/id_ed25519', keyward.file('id'));
  const proof = run('sh', ['-c', command], { stdio: ['pipe', 'pipe', 'ignore'] });
  await ada.getByLabel('Proof that the private key is yours').fill(proof);
  await ada.getByRole('button', { name: 'Create', exact: true }).click();
  await expect(ada.getByRole('row').filter({ hasText: 'My own' })).toContainText('active');
  expect(keyward.whoami('id')).toContain('ada@example.com');
});
