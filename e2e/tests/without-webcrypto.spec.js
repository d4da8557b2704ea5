// Where a browser cannot make keys, the page shows the way in a terminal.

import { expect, signIn, test } from '../support/test.js';

async function seesTheTerminalWay(page) {
  await expect(page.getByRole('button', { name: 'Generate key pair' })).toBeHidden();
  await expect(page.getByText('This browser cannot make Ed25519 keys on this page.')).toBeVisible();
  for (const words of ['Linux and macOS', 'Windows PowerShell', 'passphrase']) {
    await expect(page.getByText(words).first()).toBeVisible();
  }
  await expect(page.getByText('.ssh/id_ed25519').first()).toBeVisible();
  await expect(page.getByLabel('Public key from ssh-keygen')).toBeVisible();
}

test.describe('on a page that is no secure context', () => {
  test('the terminal way is shown, and a pasted key is taken', async ({ ada, keyward, context }) => {
    // Plain HTTP under a name: browsers keep WebCrypto from such a page.
    const { port } = new URL(keyward.url);
    const [cookie] = (await context.cookies()).filter(({ name }) => name === 'keyward');
    await context.addCookies([{ ...cookie, domain: 'keys.keyward.test' }]);
    await ada.goto(`http://keys.keyward.test:${port}/profile/api-keys/new`);
    expect(await ada.evaluate(() => [isSecureContext, typeof crypto.subtle])).toEqual([false, 'undefined']);
    await seesTheTerminalWay(ada);
    await ada.goto(`${keyward.url}/profile/api-keys/new`);
  });
});

test('a browser without Ed25519 is told when it is asked to make a pair', async ({ ada, keyward }) => {
  await ada.addInitScript(() => {
    crypto.subtle.generateKey = () => Promise.reject(new DOMException('Unrecognized name.', 'NotSupportedError'));
  });
  await ada.goto(`${keyward.url}/profile/api-keys/new`);
  await ada.getByLabel('Name', { exact: true }).fill('Laptop');
  await ada.getByRole('button', { name: 'Generate key pair' }).click();
  await seesTheTerminalWay(ada);
});

test.describe('without script', () => {
  test.use({ javaScriptEnabled: false });

  test('the terminal way is shown, and a pasted key is taken', async ({ page, keyward }) => {
    keyward.createWorkspace('acme', keyward.createUser('Ada'));
    const line = keyward.sshKeygen('id');
    await signIn(page, keyward, 'Ada');
    await page.goto(`${keyward.url}/profile/api-keys/new`);
    await expect(page.getByRole('button', { name: 'Generate key pair' })).toBeHidden();
    await page.getByLabel('Key title').fill('From a terminal');
    await page.getByLabel('Public key from ssh-keygen').fill(line);
    await page.getByRole('button', { name: 'Create', exact: true }).click();
    await expect(page.getByRole('row').filter({ hasText: 'From a terminal' })).toContainText('active');
    expect(keyward.whoami('id')).toContain('ada@example.com');
  });
});
