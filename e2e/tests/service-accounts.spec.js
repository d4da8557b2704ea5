// Workspace Settings > Service Accounts, click for click.

import { createPublicKey, createPrivateKey } from 'node:crypto';
import getKeys from 'micro-key-producer/ssh.js';
import { run } from '../support/keyward.js';
import { press, tabTo, type } from '../support/keyboard.js';
import { expect, takePrivateKey, test } from '../support/test.js';

test('an admin makes a service account and a key whose private half never leaves the browser', async ({ ada, keyward, wire }) => {
  await ada.getByRole('link', { name: 'Service Accounts' }).click();
  await ada.getByRole('link', { name: 'Create service account' }).click();
  await ada.getByLabel('Name').fill('ci-runner');
  await expect(ada.getByText('ci-runner@acme.sa.keyward.local')).toBeVisible();
  await ada.getByLabel('Description').fill('Builds and deploys');
  await ada.getByRole('button', { name: 'Create service account' }).click();

  await ada.getByRole('link', { name: 'New API key' }).click();
  const add = ada.getByRole('button', { name: 'Add API key' });
  await expect(add).toBeDisabled();
  await ada.locator('#generate-title').fill('Build machine, Berlin');
  await expect(add).toBeDisabled();
  await ada.getByRole('button', { name: 'Generate key pair' }).click();
  await expect(ada.locator('#generate-key')).toHaveValue(/^ssh-ed25519 /);
  const key = await takePrivateKey(ada, keyward, () => add.click());

  expect(key.name).toBe('Build-machine-Berlin.txt');
  await expect(ada.getByRole('heading', { name: 'The key is added' })).toBeFocused();
  await expect(ada.getByText('cannot be recovered')).toBeVisible();

  // Programs read it: OpenSSH itself, a second implementation byte by byte, the Encord SDK, and our own.
  const second = getKeys(key.seed, key.comment, key.check);
  expect(key.text.replace(/\s/g, '')).toBe(second.privateKey.replace(/\s/g, ''));
  expect(run('ssh-keygen', ['-y', '-f', key.path]).trim()).toBe(second.publicKey.trim());
  const fingerprint = run('ssh-keygen', ['-l', '-f', key.path]).split(' ')[1];
  await expect(ada.getByText(fingerprint)).toBeVisible();
  expect(keyward.whoami(key.path)).toContain('ci-runner@acme.sa.keyward.local');
  expect(keyward.listProjectsWithSdk(key.path)).toEqual([]);

  expect(wire.find(key.seed)).toEqual([]);
  expect(wire.find(key.whole)).toEqual([]);
  // The same search finds what was sent: the public key.
  const added = wire.find(Buffer.from(key.whole.subarray(32)));
  expect(added).toEqual([expect.stringMatching(/^POST .*\/keys$/)]);

  await ada.getByRole('link', { name: 'Back to the list' }).click();
  await expect(ada.getByRole('row').filter({ hasText: 'Build machine, Berlin' }).locator('code')).toHaveAttribute('title', fingerprint);
  await ada.getByRole('link', { name: 'Service Accounts' }).first().click();
  const row = ada.getByRole('row').filter({ hasText: 'ci-runner' });
  await expect(row).toContainText('1 of 5');
  await row.getByLabel('Role of ci-runner').selectOption('admin');
  await row.getByRole('button', { name: 'Apply role' }).click();
  await expect(ada.getByRole('status')).toContainText('The role is applied.');
  expect(keyward.whoami(key.path)).toContain('admin');
});

test('the search for a private key on the wire finds one that is sent', async ({ ada, keyward, wire }) => {
  const seed = Buffer.from(Array.from({ length: 32 }, (_, at) => (at * 37 + 201) % 256));
  const forms = [
    seed.toString('base64'),
    seed.toString('base64url'),
    Buffer.concat([Buffer.from('a'), seed, Buffer.from('tail')]).toString('base64'),
    Buffer.concat([Buffer.from('ab'), seed]).toString('base64').replace(/.{20}/g, '$&\n'),
    seed.toString('hex'),
    seed.toString('hex').toUpperCase(),
  ];
  for (const [nth, text] of forms.entries()) {
    await ada.evaluate((body) => fetch('/help', { method: 'POST', body: new URLSearchParams({ body }) }), text);
    expect(wire.find(seed), text).toHaveLength(nth + 1);
  }
  await ada.evaluate((bytes) => fetch('/help', { method: 'POST', body: new Uint8Array(bytes) }), [...seed]);
  await ada.evaluate((text) => fetch(`/help?q=${encodeURIComponent(text)}`), forms[0]);
  await ada.evaluate((text) => fetch('/help', { headers: { 'x-note': text } }), forms[4]);
  expect(wire.find(seed)).toHaveLength(forms.length + 3);
  expect(wire.strangers(keyward.url)).toEqual([]);
});

test('what is wrong with a pair is said, and the pair is still there', async ({ ada, keyward }) => {
  keyward.createServiceAccount('acme', 'bot');
  await ada.goto(`${keyward.url}/w/acme/service-accounts`);
  await ada.getByRole('link', { name: 'bot', exact: true }).click();
  await ada.getByRole('link', { name: 'New API key' }).click();
  await ada.locator('#generate-title').fill('runner');
  await ada.locator('label[for=generate-in-date]').click();
  await ada.locator('#generate-expires').fill('2020-01-01');
  await ada.getByRole('button', { name: 'Generate key pair' }).click();
  const field = ada.locator('#generate-key');
  await expect(field).toHaveValue(/^ssh-ed25519 /);
  const line = await field.inputValue();
  await ada.getByRole('button', { name: 'Add API key' }).click();
  await expect(ada.locator('#generate-expires-wrong')).toContainText('Choose a time in the future.');
  await expect(ada.locator('#generate-expires')).toBeFocused();
  await expect(ada.locator('#generate-expires')).toHaveAttribute('aria-invalid', 'true');
  await expect(field).toHaveValue(line);
  await expect(ada.locator('#generate-title')).toHaveValue('runner');
  await ada.locator('label[for=generate-in-never]').click();
  const key = await takePrivateKey(ada, keyward, () => ada.getByRole('button', { name: 'Add API key' }).click());
  expect(keyward.whoami(key.path)).toContain('bot@acme.sa.keyward.local');
  // The browser's own second opinion on the file: the private half is the public line's.
  expect(line).toContain(getKeys(key.seed).publicKey.split(' ')[1]);
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), key.seed]);
  const derived = createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
  expect(derived.export({ format: 'der', type: 'spki' }).subarray(-32)).toEqual(key.whole.subarray(32));
});

test('the keyboard alone makes a service account and its key', async ({ ada, keyward }) => {
  await press(ada, ada.getByRole('link', { name: 'Service Accounts' }));
  await press(ada, ada.getByRole('link', { name: 'Create service account' }));
  await type(ada, ada.getByLabel('Name'), 'keys-only');
  await press(ada, ada.getByRole('button', { name: 'Create service account' }));
  await press(ada, ada.getByRole('link', { name: 'New API key' }));
  await type(ada, ada.locator('#generate-title'), 'no mouse');
  await press(ada, ada.getByRole('button', { name: 'Generate key pair' }), 'Space');
  await expect(ada.locator('#generate-key')).toHaveValue(/^ssh-ed25519 /);
  await tabTo(ada, ada.getByRole('button', { name: 'Add API key' }));
  const key = await takePrivateKey(ada, keyward, () => ada.keyboard.press('Enter'));
  expect(keyward.whoami(key.path)).toContain('keys-only@acme.sa.keyward.local');
  await expect(ada.getByRole('heading', { name: 'The key is added' })).toBeFocused();
  await press(ada, ada.getByRole('link', { name: 'Back to the list' }));
  await press(ada, ada.getByRole('link', { name: 'Service Accounts' }).first());
  await tabTo(ada, ada.getByLabel('Role of keys-only'));
  await ada.keyboard.type('admin');
  await press(ada, ada.getByRole('button', { name: 'Apply role' }));
  await expect(ada.getByRole('status')).toContainText('The role is applied.');
});

test('at the limit the button is off, and who can raise it is said', async ({ ada, keyward }) => {
  keyward.admin('set-quota', ['--workspace', 'acme', '--keys-per-service-account', '1']);
  const account = keyward.createServiceAccount('acme', 'bot');
  keyward.sshKeygen('id');
  keyward.admin('add-key', ['--service-account', account, '--title', 'first', '--public-key-file', 'id.pub']);
  await ada.goto(`${keyward.url}/w/acme/service-accounts`);
  await expect(ada.getByText('1 of 1 in use')).toBeVisible();
  await expect(ada.getByRole('link', { name: 'Create service account' })).toHaveCount(0);
  await expect(ada.getByText('Ask the operator of this installation', { exact: false })).toBeVisible();
  await ada.getByRole('link', { name: 'bot', exact: true }).click();
  await expect(ada.getByText('1 of 1 keys')).toBeVisible();
  await expect(ada.getByRole('link', { name: 'New API key' })).toHaveCount(0);
});

test('a key tells when its first request has come, and is tried from the page', async ({ ada, keyward }) => {
  keyward.createServiceAccount('acme', 'bot');
  await ada.goto(`${keyward.url}/w/acme/service-accounts`);
  await ada.getByRole('link', { name: 'bot', exact: true }).click();
  await ada.getByRole('link', { name: 'New API key' }).click();
  await ada.locator('#generate-title').fill('runner');
  await ada.getByRole('button', { name: 'Generate key pair' }).click();
  await expect(ada.locator('#generate-key')).toHaveValue(/^ssh-ed25519 /);
  const key = await takePrivateKey(ada, keyward, () => ada.getByRole('button', { name: 'Add API key' }).click());
  await expect(ada.locator('#first-use')).toHaveText('This key has not been used yet.');
  // The line that the page tells to run is one that runs.
  const line = (await ada.locator('#use-request').innerText()).split('\n')[1];
  expect(line).toBe(`keyward request GET ${keyward.url}/api/v1/me --key runner.txt`);
  expect(keyward.run(line.split(' ').slice(1))).toContain('bot@acme.sa.keyward.local');
  await expect(ada.locator('#first-use')).toHaveText('First used just now, from 127.0.0.1.');
  await ada.getByRole('button', { name: 'Test it here' }).click();
  await expect(ada.locator('#added-test-result')).toHaveText('Accepted. The key authenticates bot@acme.sa.keyward.local.');
  expect(key.name).toBe('runner.txt');
});

test('keys are searched and sorted, and a filter shows the inactive ones', async ({ ada, keyward }) => {
  const account = keyward.createServiceAccount('acme', 'bot');
  for (const title of ['zebra', 'Apple', 'mango']) {
    keyward.sshKeygen(title);
    keyward.admin('add-key', ['--service-account', account, '--title', title, '--public-key-file', `${title}.pub`]);
  }
  await ada.goto(`${keyward.url}/w/acme/service-accounts`);
  await ada.getByRole('link', { name: 'bot', exact: true }).click();
  const titles = ada.locator('tbody th a');
  await expect(titles).toHaveText(['mango', 'Apple', 'zebra']);
  await ada.getByRole('link', { name: 'Title', exact: true }).click();
  await expect(titles).toHaveText(['Apple', 'mango', 'zebra']);
  await expect(ada.getByRole('columnheader', { name: 'Title' })).toHaveAttribute('aria-sort', 'ascending');
  await ada.getByRole('link', { name: 'Title', exact: true }).click();
  await expect(titles).toHaveText(['zebra', 'mango', 'Apple']);
  const find = ada.getByLabel('Find a key by title or fingerprint');
  await find.fill('APPLE');
  await find.press('Enter');
  await expect(titles).toHaveText(['Apple']);
  await expect(ada.getByText('1 to 1 of 1')).toBeVisible();
  await find.fill('');
  await find.press('Enter');
  await ada.getByRole('row').filter({ hasText: 'zebra' }).locator('summary').click();
  await ada.getByRole('link', { name: 'Revoke' }).click();
  await ada.getByRole('button', { name: 'Revoke' }).click();
  await expect(titles).toHaveText(['mango', 'Apple']);
  await ada.getByRole('link', { name: 'Expired or revoked 1' }).click();
  await expect(ada.getByRole('row').filter({ hasText: 'zebra' })).toContainText('Revoked');
});
