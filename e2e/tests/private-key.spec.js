// The private key of a pair that the page generates: in a file or the clipboard before its key is added, and nowhere else.

import { readFileSync } from 'node:fs';
import { expect, takePrivateKey, test } from '../support/test.js';

const generate = (page) => page.getByRole('button', { name: 'Generate key pair' });
const add = (page) => page.getByRole('button', { name: 'Add API key' });
const copy = (page) => page.getByRole('button', { name: 'Copy private key' });
const isCopied = (page) => page.getByRole('status').filter({ hasText: 'The private key is copied.' });
const isAdded = (page) => expect(page.getByRole('heading', { name: 'The key is added' })).toBeFocused();

async function openNewKey(page, keyward) {
  await page.goto(`${keyward.url}/profile/api-keys/new`);
  await page.locator('#generate-title').fill('Laptop');
}

async function openNewKeyOfBot(page, keyward) {
  keyward.createServiceAccount('acme', 'bot');
  await page.goto(`${keyward.url}/w/acme/service-accounts`);
  await page.getByRole('link', { name: 'bot', exact: true }).click();
  await page.getByRole('link', { name: 'New API key' }).click();
  await page.locator('#generate-title').fill('runner');
}

const readClipboard = (page) => page.evaluate(() => navigator.clipboard.readText());

test.describe('in a browser that refuses downloads', () => {
  test.use({ acceptDownloads: false, permissions: ['clipboard-read', 'clipboard-write'] });

  test('one\'s own private key is copied before the key is added', async ({ ada, keyward }) => {
    await openNewKey(ada, keyward);
    await generate(ada).click();
    await expect(ada.getByRole('status').filter({ hasText: 'downloaded as' })).toHaveText(
      'The private key was downloaded as Laptop.txt. Keyward does not have it. If the file did not arrive, download it again or copy it before you add the key.',
    );
    // Who hears the page hears it at the button, too.
    await expect(add(ada)).toHaveAccessibleDescription(/If the file did not arrive/);
    await expect(ada.getByRole('button', { name: 'Download again' })).toBeVisible();
    await copy(ada).click();
    await expect(isCopied(ada)).toBeVisible();
    await expect(copy(ada)).toBeFocused();
    keyward.writePrivateKey('copied', await readClipboard(ada));
    await add(ada).click();
    await isAdded(ada);
    expect(keyward.whoami('copied')).toContain('ada@example.com');
  });

  test('a service account\'s is, too, and once more afterwards', async ({ ada, keyward }) => {
    await openNewKeyOfBot(ada, keyward);
    await generate(ada).click();
    await expect(ada.getByRole('status').filter({ hasText: 'The key pair is generated.' })).toHaveText(
      'The key pair is generated. Keyward does not have the private key: it downloads when you add the key. You can also download or copy it now.',
    );
    await expect(ada.getByRole('button', { name: 'Download now' })).toBeVisible();
    await copy(ada).click();
    await expect(isCopied(ada)).toBeVisible();
    const before = await readClipboard(ada);
    await add(ada).click();
    await isAdded(ada);
    await expect(ada.getByText('If the file did not arrive, download it again or copy it before you leave this page.')).toBeVisible();
    await ada.evaluate(() => navigator.clipboard.writeText('something else'));
    await copy(ada).click();
    await expect(isCopied(ada)).toBeVisible();
    expect(await readClipboard(ada)).toBe(before);
    keyward.writePrivateKey('copied', before);
    expect(keyward.whoami('copied')).toContain('bot@acme.sa.keyward.local');
  });
});

test('a service account\'s private key downloads before its key is added, and once', async ({ ada, keyward }) => {
  const names = [];
  ada.on('download', (download) => names.push(download.suggestedFilename()));
  await openNewKeyOfBot(ada, keyward);
  await generate(ada).click();
  const key = await takePrivateKey(ada, keyward, () => ada.getByRole('button', { name: 'Download now' }).click());
  await expect(ada.getByText('The private key was downloaded as runner.txt.')).toBeVisible();
  const again = await takePrivateKey(ada, keyward, () => ada.getByRole('button', { name: 'Download again' }).click());
  expect(again.text).toBe(key.text);
  await add(ada).click();
  await isAdded(ada);
  expect(keyward.whoami(key.path)).toContain('bot@acme.sa.keyward.local');
  expect(names).toEqual(['runner.txt', 'runner.txt']);
});

test('the file of a private key can be read for as long as the page is there', async ({ ada, keyward }) => {
  await ada.addInitScript(() => {
    globalThis.revoked = [];
    const revoke = URL.revokeObjectURL;
    URL.revokeObjectURL = (url) => {
      globalThis.revoked.push(url);
      revoke.call(URL, url);
    };
  });
  await openNewKey(ada, keyward);
  const key = await takePrivateKey(ada, keyward, () => generate(ada).click());
  const again = await takePrivateKey(ada, keyward, () => ada.getByRole('button', { name: 'Download again' }).click());
  await add(ada).click();
  await isAdded(ada);
  const later = await takePrivateKey(ada, keyward, () => ada.getByRole('button', { name: 'Download again' }).click());
  expect([again.text, later.text]).toEqual([key.text, key.text]);
  expect(await ada.evaluate(() => globalThis.revoked)).toEqual([]);
});

test('the page does not hold the private key, nor does the browser keep it', async ({ ada, keyward, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await openNewKey(ada, keyward);
  const key = await takePrivateKey(ada, keyward, () => generate(ada).click());
  await copy(ada).click();
  await expect(isCopied(ada)).toBeVisible();
  const secrets = ['OPENSSH PRIVATE KEY', ...key.text.split('\n').slice(1, -2)];
  const findSecrets = async () => {
    const kept = await ada.evaluate(() => [
      document.documentElement.outerHTML,
      ...Array.from(document.querySelectorAll('input, textarea'), (field) => field.value),
      ...Object.values(localStorage),
      ...Object.values(sessionStorage),
      JSON.stringify(history.state),
      document.cookie,
    ].join('\n'));
    expect(kept).toContain('ssh-ed25519 ');
    return secrets.filter((secret) => kept.includes(secret));
  };
  expect(await findSecrets()).toEqual([]);
  expect(await ada.evaluate(() => indexedDB.databases())).toEqual([]);
  await add(ada).click();
  await isAdded(ada);
  expect(await findSecrets()).toEqual([]);
});

test('where the browser does not allow copying, the page says so', async ({ ada, keyward }) => {
  await ada.addInitScript(() => {
    navigator.clipboard.writeText = () => Promise.reject(new DOMException('Write permission denied.', 'NotAllowedError'));
  });
  await openNewKey(ada, keyward);
  await takePrivateKey(ada, keyward, () => generate(ada).click());
  await copy(ada).click();
  await expect(ada.getByRole('status').filter({ hasText: 'does not allow copying' })).toHaveText('The browser does not allow copying. Download the file.');
});

test('the page is not left by mistake while the key is not added', async ({ ada, keyward }) => {
  const asked = [];
  let stay = true;
  ada.on('dialog', async (dialog) => {
    asked.push(dialog.type());
    await (stay ? dialog.dismiss() : dialog.accept());
  });
  const leave = () => ada.getByRole('link', { name: 'API keys' }).first().click();
  await openNewKey(ada, keyward);
  // Nothing is there to lose yet.
  await leave();
  await expect(ada).toHaveURL(/\/api-keys$/);
  expect(asked).toEqual([]);

  await openNewKey(ada, keyward);
  const key = await takePrivateKey(ada, keyward, () => generate(ada).click());
  await takePrivateKey(ada, keyward, () => ada.getByRole('button', { name: 'Download again' }).click());
  expect(asked, 'for a download').toEqual([]);
  await leave();
  await expect.poll(() => asked).toEqual(['beforeunload']);
  await expect(add(ada)).toBeEnabled();
  await add(ada).click();
  await isAdded(ada);
  expect(keyward.whoami(key.path)).toContain('ada@example.com');
  stay = false;
  await ada.getByRole('link', { name: 'Back to the list' }).click();
  await expect(ada.getByRole('row').filter({ hasText: 'Laptop' })).toBeVisible();
  expect(asked, 'once the key is added').toEqual(['beforeunload']);
});

test('a key whose answer was lost is not added again', async ({ ada, keyward, wire }) => {
  await openNewKey(ada, keyward);
  const key = await takePrivateKey(ada, keyward, () => generate(ada).click());
  wire.losesAnswer = ({ method, path }) => method === 'POST' && path === '/profile/api-keys';
  await add(ada).click();
  await expect(ada.locator('#generate-problem')).toHaveText('The server did not respond. The key pair is still here. Try again.');
  await expect(ada.getByRole('button', { name: 'Download again' })).toBeVisible();
  wire.losesAnswer = () => false;
  await ada.locator('#generate-title').fill('Desk');
  await add(ada).click();
  await isAdded(ada);
  // Under the title that it was added with.
  await expect(ada.locator('#added-title')).toHaveText('Laptop');
  expect(keyward.whoami(key.path)).toContain('ada@example.com');
});

test('a pair that another page has added and revoked leads to a new one', async ({ ada, context, keyward }) => {
  await openNewKey(ada, keyward);
  const key = await takePrivateKey(ada, keyward, () => generate(ada).click());
  const line = await ada.locator('#generate-key').inputValue();
  const tab = await context.newPage();
  await tab.goto(`${keyward.url}/profile/api-keys/new`);
  await tab.getByText('Paste a public key').click();
  await tab.locator('#title').fill('Elsewhere');
  await tab.locator('#public_key').fill(line);
  await tab.getByRole('button', { name: 'Create', exact: true }).click();
  await expect(tab.getByRole('heading', { name: 'Elsewhere', level: 1 })).toBeVisible();
  keyward.whoami(key.path);
  await expect(tab.locator('#last-used')).toContainText('127.0.0.1');
  await tab.getByRole('link', { name: 'Revoke' }).click();
  await tab.getByLabel('This key is in use').fill('Elsewhere');
  await tab.getByRole('button', { name: 'Revoke' }).click();
  await expect(tab.getByRole('status')).toContainText('Key Elsewhere was revoked.');
  await add(ada).click();
  await expect(ada.locator('#generate-key-wrong')).toContainText('It can never be registered again. Generate a new key pair.');
  await expect(ada.getByRole('button', { name: 'Download again' })).toBeVisible();
  const next = await takePrivateKey(ada, keyward, () => generate(ada).click());
  await expect(ada.locator('#generate-hint')).toContainText('This replaces the key pair in Laptop.txt, which was not added. Delete that file.');
  await add(ada).click();
  await isAdded(ada);
  expect(readFileSync(next.path, 'utf8')).not.toBe(key.text);
  expect(keyward.whoami(next.path)).toContain('ada@example.com');
});
