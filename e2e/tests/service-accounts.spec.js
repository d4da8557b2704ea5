// Workspace Settings > Service Accounts, click for click.

import { createPublicKey, createPrivateKey } from 'node:crypto';
import getKeys from 'micro-key-producer/ssh.js';
import { run } from '../support/keyward.js';
import { press, tabTo, type } from '../support/keyboard.js';
import { expect, takePrivateKey, test } from '../support/test.js';

test('an admin makes a service account and a key whose private half never leaves the browser', async ({ ada, keyward, wire }) => {
  await ada.getByRole('link', { name: 'Service Accounts' }).click();
  await ada.getByRole('link', { name: 'Create service account' }).click();
  // The address is proposed while the name is typed.
  await ada.getByLabel('Name', { exact: true }).fill('CI runner');
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
  const row = ada.getByRole('row').filter({ hasText: 'CI runner' });
  await expect(row).toContainText('1 of 5');
  // The button appears once another role is chosen.
  const apply = row.getByRole('button', { name: 'Apply' });
  await expect(apply).toBeHidden();
  await row.getByLabel('Role of CI runner').selectOption('admin');
  await apply.click();
  await expect(ada.getByRole('heading', { name: 'Make CI runner an admin?' })).toBeVisible();
  await expect(ada.getByText('The holder of its key can do all of this at once.')).toBeVisible();
  await ada.getByRole('button', { name: 'Make admin' }).click();
  await expect(ada.getByRole('status')).toContainText('CI runner is an admin now.');
  expect(keyward.whoami(key.path)).toContain('admin');
  await ada.getByRole('status').getByRole('button', { name: 'Undo' }).click();
  await expect(ada.getByRole('status')).toContainText('CI runner is a member now.');
  expect(keyward.whoami(key.path)).toContain('member');
  await ada.getByRole('link', { name: 'CI runner', exact: true }).first().click();
  await expect(ada.getByRole('row').filter({ hasText: 'Build machine, Berlin' }).locator('code')).toHaveAttribute('title', fingerprint);
  await ada.getByLabel('Role of CI runner').selectOption('admin');
  await ada.getByRole('button', { name: 'Apply' }).click();
  await ada.getByRole('button', { name: 'Make admin' }).click();
  await expect(ada.getByRole('status')).toContainText('CI runner is an admin now.');
  expect(keyward.whoami(key.path)).toContain('admin');
});

test('an address is proposed for a name, and one that was typed stays', async ({ ada, keyward }) => {
  await ada.goto(`${keyward.url}/w/acme/service-accounts/new`);
  const name = ada.getByLabel('Name', { exact: true });
  const slug = ada.getByLabel('Name in the address');
  // The same as the server proposes.
  for (const [typed, proposed] of [
    ['Nightly Export', 'nightly-export'], ['  CI / CD runner (№1) ', 'ci-cd-runner-no1'], ['Café Zürich', 'cafe-zurich'],
    ['Straße Ærø Łódź', 'strasse-aero-lodz'], ['Mira\'s bot', 'miras-bot'], ['CI', 'sa-ci'], ['3D scans', 'sa-3d-scans'],
    ['日本 export', 'export'], [`${'a'.repeat(39)} b`, 'a'.repeat(39)], ['日本', ''],
  ]) {
    await name.fill(typed);
    await expect(slug, typed).toHaveValue(proposed);
  }
  await slug.fill('own-name');
  await name.fill('Nightly Export');
  await expect(slug).toHaveValue('own-name');
  await expect(ada.getByText('own-name@acme.sa.keyward.local')).toBeVisible();
  await slug.fill('');
  await ada.getByRole('button', { name: 'Create service account' }).click();
  await expect(ada.getByText('nightly-export@acme.sa.keyward.local')).toBeVisible();
});

test('an account is renamed, disabled and enabled, each with its consequences', async ({ ada, keyward }) => {
  const account = keyward.createServiceAccount('acme', 'bot');
  const key = keyward.addKey(['--service-account', account], 'runner');
  await ada.goto(`${keyward.url}/w/acme/service-accounts`);
  await ada.getByRole('link', { name: 'bot', exact: true }).click();
  await ada.getByRole('link', { name: 'Settings', exact: true }).click();
  await ada.getByLabel('Name', { exact: true }).fill('Map bot');
  await ada.getByLabel('Name in the address').fill('map-bot');
  await ada.getByRole('button', { name: 'Save changes' }).click();
  await expect(ada.getByRole('heading', { name: 'Change the address of bot?' })).toBeVisible();
  await expect(ada.getByText('bot@acme.sa.keyward.local becomes map-bot@acme.sa.keyward.local.')).toBeVisible();
  await ada.getByRole('button', { name: 'Change address' }).click();
  await expect(ada.getByRole('status')).toContainText('Its address is map-bot@acme.sa.keyward.local.');
  expect(keyward.whoami(key)).toContain('map-bot@acme.sa.keyward.local');

  await ada.getByRole('link', { name: 'Disable', exact: true }).last().click();
  await expect(ada.getByText('Its key is refused at once.')).toBeVisible();
  await ada.getByRole('button', { name: 'Disable service account' }).click();
  await expect(ada.getByRole('status')).toContainText('Map bot is disabled. Its key is refused now.');
  expect(() => keyward.whoami(key)).toThrow(/owner is disabled/);
  await ada.getByRole('status').getByRole('button', { name: 'Undo' }).click();
  await expect(ada.getByRole('status')).toContainText('Map bot is enabled.');
  expect(keyward.whoami(key)).toContain('map-bot@acme');
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
  await type(ada, ada.getByLabel('Name', { exact: true }), 'Keys only');
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
  await tabTo(ada, ada.getByLabel('Role of Keys only'));
  await ada.keyboard.type('admin');
  await press(ada, ada.getByRole('button', { name: 'Apply' }));
  await press(ada, ada.getByRole('button', { name: 'Make admin' }));
  await expect(ada.getByRole('status')).toContainText('Keys only is an admin now.');
});

test('at the limit the button is off, and who can raise it is said', async ({ ada, keyward }) => {
  keyward.admin('set-quota', ['--workspace', 'acme', '--keys-per-service-account', '1']);
  const account = keyward.createServiceAccount('acme', 'bot');
  keyward.sshKeygen('id');
  keyward.admin('add-key', ['--service-account', account, '--title', 'first', '--public-key-file', 'id.pub']);
  await ada.goto(`${keyward.url}/w/acme/service-accounts`);
  await expect(ada.getByText('This workspace may have 1 service account, and has it.')).toBeVisible();
  await expect(ada.getByRole('link', { name: 'Create service account' })).toHaveCount(0);
  await expect(ada.getByText('Ask the operator of this installation', { exact: false })).toBeVisible();
  await ada.getByRole('link', { name: 'bot', exact: true }).click();
  await expect(ada.getByText('This account may have 1 key, and has it.')).toBeVisible();
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

test('Enter on the checkbox of a key asks before it changes keys', async ({ ada, keyward }) => {
  const account = keyward.createServiceAccount('acme', 'bot');
  for (const title of ['first', 'second']) keyward.addKey(['--service-account', account], title);
  await ada.goto(`${keyward.url}/w/acme/service-accounts`);
  await ada.getByRole('link', { name: 'bot', exact: true }).click();
  const row = (title) => ada.getByRole('row').filter({ hasText: title });
  const keys = ada.url();
  await row('second').locator('summary').click();
  await row('second').getByRole('link', { name: 'Disable' }).click();
  await ada.getByRole('button', { name: 'Disable key' }).click();
  await ada.goto(keys);
  await expect(row('second')).toContainText('Disabled');
  await row('first').getByRole('checkbox').check();
  await row('first').getByRole('checkbox').press('Enter');
  await expect(ada.getByRole('heading', { name: 'Disable 1 key?' })).toBeVisible();
});
