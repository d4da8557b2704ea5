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
  await ada.locator('#generate-title').fill('Laptop');
  await expect(add).toBeDisabled();
  const key = await takePrivateKey(ada, keyward, () => ada.getByRole('button', { name: 'Generate key pair' }).click());
  expect(key.name).toBe('Laptop.txt');
  await expect(ada.locator('#generate-key')).toHaveValue(/^ssh-ed25519 /);
  await expect(add).toBeEnabled();
  await add.click();
  await expect(ada.getByRole('heading', { name: 'The key is added' })).toBeVisible();

  expect(run('ssh-keygen', ['-y', '-f', key.path])).toContain('ssh-ed25519 ');
  expect(keyward.whoami(key.path)).toContain('ada@example.com');
  expect(keyward.listProjectsWithSdk(key.path)).toEqual([]);
  expect(wire.find(key.seed)).toEqual([]);

  await ada.getByRole('link', { name: 'Back to the list' }).click();
  const row = ada.getByRole('row').filter({ hasText: 'Laptop' });
  await expect(row.locator('code')).toHaveAttribute('title', run('ssh-keygen', ['-l', '-f', key.path]).split(' ')[1]);
  await expect(row).toContainText('Active');
  // It came with a proof, which reclaims it from an earlier unproven registration.
  await row.getByRole('link', { name: 'Laptop', exact: true }).click();
  await expect(ada.locator('dt:text-is("Proof") + dd')).not.toContainText('None');
});

test('a person pastes the public half of a key from ssh-keygen', async ({ ada, keyward }) => {
  const line = keyward.sshKeygen('id');
  await openNewKey(ada);
  const create = ada.getByRole('button', { name: 'Create', exact: true });
  await ada.getByText('Paste a public key').click();
  await expect(create).toBeDisabled();
  await ada.locator('#title').fill('Workstation');
  await expect(create).toBeDisabled();
  await ada.locator('#public_key').fill(line);
  await create.click();
  await expect(ada.getByRole('heading', { name: 'Workstation', level: 1 })).toBeVisible();
  await expect(ada.getByText('Encord SDK')).toBeVisible();
  await expect(ada.locator('dt:text-is("Proof") + dd')).toContainText('keyward keys prove');
  expect(keyward.whoami('id')).toContain('ada@example.com');
});

test('a private key that is pasted is refused before anything is sent', async ({ ada, keyward, wire }) => {
  keyward.sshKeygen('id');
  const secret = readFileSync(keyward.file('id'), 'utf8');
  await openNewKey(ada);
  const sent = wire.requests.length;
  await ada.getByText('Paste a public key').click();
  await ada.locator('#title').fill('A mistake');
  const field = ada.locator('#public_key');
  for (const text of [secret, secret.split('\n').slice(1, -2).join('\n'), '{"kty":"OKP","crv":"Ed25519","d":"x","x":"y"}']) {
    await field.fill(text);
    await expect(ada.getByRole('alert').filter({ hasText: 'This is a private key' })).toBeVisible();
    await expect(ada.getByRole('button', { name: 'Create', exact: true })).toBeDisabled();
    await ada.locator('#title').press('Enter');
  }
  const asked = wire.requests.slice(sent).map((request) => new URL(request.url).pathname);
  expect(asked.filter((path) => !path.startsWith('/static/'))).toEqual([]);
  await expect(ada.locator('#title')).toHaveValue('A mistake');
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
    [taken, /already registered/],
    [file('weak.pub'), /2048.*create a new one with ssh-keygen/],
    [file('unsupported.pub'), /P-521|not supported|unsupported/i],
    ['ssh-ed25519 AAAA', /./],
  ]) {
    await ada.getByText('Paste a public key').click();
    await ada.locator('#title').fill('Workstation, second floor');
    await ada.locator('#public_key').fill(line);
    await ada.locator('label[for=in-date]').click();
    await ada.locator('#expires').fill('2099-12-31');
    await ada.getByRole('button', { name: 'Create', exact: true }).click();
    await expect(ada.locator('#public_key-wrong')).toContainText(sentence);
    await expect(ada.locator('#public_key')).toHaveAttribute('aria-invalid', 'true');
    await expect(ada.getByRole('alert').first()).toBeFocused();
    await expect(ada.locator('#title')).toHaveValue('Workstation, second floor');
    await expect(ada.locator('#public_key')).toHaveValue(line);
    await expect(ada.locator('#expires')).toHaveValue('2099-12-31');
  }
  // The page does not say where another user's key is.
  await expect(ada.locator('body')).not.toContainText('Of Bob');

  const bob = await otherPage(browser, wire);
  await signIn(bob, keyward, 'Bob');
  await bob.goto(`${keyward.url}/profile/api-keys/new`);
  await bob.getByText('Paste a public key').click();
  await bob.locator('#title').fill('Again');
  await bob.locator('#public_key').fill(taken);
  await bob.getByRole('button', { name: 'Create', exact: true }).click();
  await expect(bob.locator('#public_key-wrong')).toContainText('already registered');
});

test('the keyboard alone makes a key of one\'s own', async ({ ada, keyward }) => {
  await press(ada, ada.locator('summary[aria-label="Your account"]'));
  await press(ada, ada.getByRole('link', { name: 'Profile settings' }));
  await press(ada, ada.getByRole('link', { name: 'API keys' }).last());
  await press(ada, ada.getByRole('link', { name: 'New Key' }));
  await type(ada, ada.locator('#generate-title'), 'By keyboard');
  await tabTo(ada, ada.getByRole('button', { name: 'Generate key pair' }));
  const key = await takePrivateKey(ada, keyward, () => ada.keyboard.press('Enter'));
  await press(ada, ada.getByRole('button', { name: 'Add API key' }));
  await expect(ada.getByRole('heading', { name: 'The key is added' })).toBeFocused();
  expect(keyward.whoami(key.path)).toContain('ada@example.com');
});

test('a key is disabled, enabled, and revoked with a confirmation', async ({ ada, keyward }) => {
  keyward.sshKeygen('id');
  keyward.admin('add-key', ['--user', 'ada@example.com', '--title', 'laptop', '--public-key-file', 'id.pub']);
  expect(keyward.whoami('id')).toContain('ada@example.com');
  await ada.goto(`${keyward.url}/profile/api-keys`);
  await ada.getByRole('link', { name: 'laptop', exact: true }).click();
  await ada.getByRole('link', { name: 'Disable key' }).click();
  await expect(ada.getByRole('heading', { name: 'Disable laptop?' })).toBeVisible();
  await ada.getByRole('button', { name: 'Disable key' }).click();
  await expect(ada.getByRole('status').filter({ hasText: 'Key laptop was disabled.' })).toBeVisible();
  expect(() => keyward.whoami('id')).toThrow(/disabled/);
  await ada.getByRole('button', { name: 'Undo' }).click();
  await expect(ada.getByRole('status').filter({ hasText: 'Key laptop was enabled.' })).toBeVisible();
  expect(keyward.whoami('id')).toContain('ada@example.com');
  await ada.getByRole('link', { name: 'Revoke key' }).click();
  // A use is recorded shortly after its request.
  await expect(async () => {
    await ada.reload();
    await expect(ada.getByText('last used')).toContainText('127.0.0.1', { timeout: 500 });
  }).toPass({ timeout: 15_000 });
  await ada.getByLabel('This key is in use').fill('laptop');
  await ada.getByRole('button', { name: 'Revoke key' }).click();
  await expect(ada.getByRole('status')).toContainText('Key laptop was revoked. It is refused now.');
  expect(() => keyward.whoami('id')).toThrow();
  await expect(ada.getByText('No keys match')).toBeVisible();
});

test('a proof reclaims a key that another user registered', async ({ ada, keyward }) => {
  const line = keyward.sshKeygen('id');
  keyward.createWorkspace('other', keyward.createUser('Mallory'));
  keyward.admin('add-key', ['--user', 'mallory@example.com', '--title', 'Found it', '--public-key-file', 'id.pub']);
  // The key was used meanwhile: a request with it authenticates Mallory.
  expect(keyward.whoami('id')).toContain('mallory@example.com');
  await openNewKey(ada);
  await ada.getByText('Paste a public key').click();
  await ada.locator('#title').fill('My own');
  await ada.locator('#public_key').fill(line);
  await ada.getByRole('button', { name: 'Create', exact: true }).click();
  const command = (await ada.locator('#proof-command').innerText()).replace('~/.ssh/keyward', keyward.file('id'));
  const proof = run('sh', ['-c', command], { stdio: ['pipe', 'pipe', 'ignore'] });
  await ada.getByLabel('Proof that you hold the private key').fill(proof);
  await ada.getByRole('button', { name: 'Create', exact: true }).click();
  await expect(ada.getByRole('heading', { name: 'My own', level: 1 })).toBeVisible();
  expect(keyward.whoami('id')).toContain('ada@example.com');
});

test('a pair outlives the session that made it', async ({ ada, context, keyward }) => {
  await openNewKey(ada);
  await ada.locator('#generate-title').fill('Laptop');
  const key = await takePrivateKey(ada, keyward, () => ada.getByRole('button', { name: 'Generate key pair' }).click());
  const tab = await context.newPage();
  await tab.goto(`${keyward.url}/profile`);
  await tab.locator('summary[aria-label="Your account"]').click();
  await tab.getByRole('button', { name: 'Sign out' }).click();
  await expect(tab).toHaveURL(/sign-in/);

  const add = ada.getByRole('button', { name: 'Add API key' });
  await add.click();
  const problem = ada.locator('#generate-problem');
  await expect(problem).toHaveText('Your session has ended. Sign in in another tab, then press Add API key again. The key pair is still here.');
  // Another user must not use the form: the key would be theirs.
  keyward.createUser('Bob', '--operator');
  await signIn(tab, keyward, 'Bob');
  await add.click();
  await expect(problem).toContainText('bob@example.com is signed in now. Sign in as ada@example.com');
  await tab.locator('summary[aria-label="Your account"]').click();
  await tab.getByRole('button', { name: 'Sign out' }).click();
  await signIn(tab, keyward, 'Ada');
  await add.click();
  await expect(ada.getByRole('heading', { name: 'The key is added' })).toBeVisible();
  expect(keyward.whoami(key.path)).toContain('ada@example.com');
});

test('the page names the file that was downloaded, whatever the key is called by then', async ({ ada, keyward }) => {
  await openNewKey(ada);
  const name = ada.locator('#generate-title');
  const generate = ada.getByRole('button', { name: 'Generate key pair' });
  await name.fill('Workstation');
  const first = await takePrivateKey(ada, keyward, () => generate.click());
  const second = await takePrivateKey(ada, keyward, () => generate.click());
  expect([first.name, second.name]).toEqual(['Workstation.txt', 'Workstation-2.txt']);
  await expect(ada.locator('#generate-hint')).toContainText('downloaded as Workstation-2.txt');
  await expect(ada.locator('#generate-hint')).toContainText('This replaces the key pair in Workstation.txt');
  await name.fill('Desk');
  await ada.getByRole('button', { name: 'Add API key' }).click();
  await expect(ada.getByRole('heading', { name: 'The key is added' })).toBeVisible();
  await expect(ada.locator('#added-title')).toHaveText('Desk');
  for (const place of await ada.locator('[data-file]').all()) await expect(place).toHaveText('Workstation-2.txt');
  expect(keyward.whoami(second.path)).toContain('ada@example.com');
  expect(() => keyward.whoami(first.path)).toThrow();
});

test('at the limit no pair is made that could not be added', async ({ ada, keyward }) => {
  keyward.admin('set-quota', ['--workspace', 'acme', '--keys-per-user', '1']);
  keyward.addKey(['--user', 'ada@example.com'], 'first');
  await ada.goto(`${keyward.url}/profile/api-keys/new`);
  await expect(ada.getByText('All 1 keys are in use. Revoke one, or ask the operator')).toBeVisible();
  for (const button of ['Generate key pair', 'Add API key']) {
    await expect(ada.getByRole('button', { name: button, exact: true })).toBeDisabled();
  }
  await ada.getByText('Paste a public key').click();
  await expect(ada.getByRole('button', { name: 'Create', exact: true })).toBeDisabled();
});

test('the first use of a key changes all that the page says of it', async ({ ada, keyward }) => {
  const file = keyward.addKey(['--user', 'ada@example.com'], 'laptop');
  await ada.goto(`${keyward.url}/profile/api-keys`);
  await ada.getByRole('link', { name: 'laptop', exact: true }).click();
  await expect(ada.locator('#last-used')).toHaveText('Never');
  await expect(ada.getByText('on the server')).toBeVisible();
  keyward.whoami(file);
  await expect(ada.locator('#first-use')).toHaveText('First used just now, from 127.0.0.1.');
  await expect(ada.locator('#last-used')).toHaveText('Just nowfrom 127.0.0.1');
});

test('a list has its menus, its copies and its order at every width', async ({ ada, context, keyward }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  for (const title of ['zebra', 'Apple']) keyward.addKey(['--user', 'ada@example.com'], title);
  await ada.goto(`${keyward.url}/profile/api-keys`);
  const row = ada.getByRole('row').filter({ hasText: 'zebra' });
  await row.getByRole('button', { name: 'Copy the fingerprint of zebra' }).click();
  const fingerprint = await row.locator('code').getAttribute('title');
  expect(await ada.evaluate(() => navigator.clipboard.readText())).toBe(fingerprint);
  for (const width of [1280, 1024, 390, 320]) {
    await ada.setViewportSize({ width, height: 800 });
    await ada.goto(`${keyward.url}/profile/api-keys`);
    if (width >= 1024) {
      await ada.getByRole('link', { name: 'Title', exact: true }).click();
    } else {
      await ada.getByLabel('Sort by').selectOption('Title');
      await ada.getByRole('button', { name: 'Sort' }).click();
    }
    await expect(ada.locator('tbody th a')).toHaveText(['Apple', 'zebra']);
    expect(await ada.evaluate(() => document.documentElement.scrollWidth), `${width}`).toBeLessThanOrEqual(width);
    const menu = ada.locator('tr').filter({ hasText: 'zebra' }).locator('summary');
    await expect(menu).toHaveAccessibleName('Actions for zebra');
    await menu.click();
    const { x, width: wide } = await ada.getByRole('link', { name: 'Disable' }).boundingBox();
    expect(x >= 0 && x + wide <= width, `the menu at ${width}`).toBe(true);
    await expect(ada.getByRole('link', { name: 'Keyward' })).toBeVisible();
  }
  await ada.getByRole('link', { name: 'Disable' }).click();
  await ada.getByRole('button', { name: 'Disable key' }).click();
  await expect(ada.getByRole('status').filter({ hasText: 'Key zebra was disabled.' })).toBeVisible();
  await expect(ada.getByRole('heading', { name: 'zebra' })).toBeVisible();
});

test('where the browser does not allow copying, the text is selected', async ({ ada, keyward }) => {
  await ada.addInitScript(() => {
    navigator.clipboard.writeText = () => Promise.reject(new DOMException('Write permission denied.', 'NotAllowedError'));
  });
  const file = keyward.addKey(['--user', 'ada@example.com'], 'laptop');
  await ada.goto(`${keyward.url}/profile/api-keys`);
  await ada.getByRole('button', { name: 'Copy the fingerprint of laptop' }).click();
  const fingerprint = run('ssh-keygen', ['-l', '-f', keyward.file(file)]).split(' ')[1];
  await expect.poll(() => ada.evaluate(() => String(getSelection()))).toBe(fingerprint);
  await ada.goto(`${keyward.url}/w/acme/invitations`);
  await ada.getByLabel('Email addresses').fill('bob@example.com');
  await ada.getByRole('button', { name: 'Invite', exact: true }).click();
  const link = ada.getByLabel('bob@example.com', { exact: true });
  await ada.getByRole('button', { name: /^Copy/ }).first().click();
  const selected = () => link.evaluate((field) => field.value.slice(field.selectionStart, field.selectionEnd));
  await expect.poll(selected).toBe(await link.inputValue());
});

test('a table of few columns is one until the screen is a phone\'s', async ({ ada, keyward }) => {
  await ada.goto(`${keyward.url}/w/acme/members`);
  for (const [width, isTable] of [[1280, true], [1024, true], [768, true], [390, false]]) {
    await ada.setViewportSize({ width, height: 800 });
    await expect(ada.getByText('Joined', { exact: true }), `${width}`).toBeVisible({ visible: isTable });
  }
});
