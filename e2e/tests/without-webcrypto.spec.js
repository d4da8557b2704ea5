// Where a browser cannot make keys, the page shows the way in a terminal.

import { expect, signIn, test } from '../support/test.js';

async function seesTheTerminalWay(page, why) {
  await expect(page.getByRole('button', { name: 'Generate key pair' })).toBeHidden();
  const reason = page.getByRole('status').filter({ hasText: 'Generate the key pair with ssh-keygen' });
  await expect(reason).toContainText(why);
  // It comes before what it explains.
  const [above, below] = [await reason.boundingBox(), await page.locator('#ways').boundingBox()];
  expect(above.y + above.height).toBeLessThanOrEqual(below.y);
  for (const words of ['Linux and macOS', 'Windows PowerShell', 'passphrase']) {
    await expect(page.getByText(words).first()).toBeVisible();
  }
  await expect(page.getByText('.ssh/keyward').first()).toBeVisible();
  await expect(page.locator('#public_key')).toBeVisible();
}

test.describe('on a page that is no secure context', () => {
  test('the terminal way is shown, and a pasted key is taken', async ({ ada, keyward, context }) => {
    // Plain HTTP under a name: browsers keep WebCrypto from such a page.
    const { port } = new URL(keyward.url);
    const [cookie] = (await context.cookies()).filter(({ name }) => name === 'keyward');
    await context.addCookies([{ ...cookie, domain: 'keys.keyward.test' }]);
    await ada.goto(`http://keys.keyward.test:${port}/profile/api-keys/new`);
    expect(await ada.evaluate(() => [isSecureContext, typeof crypto.subtle])).toEqual([false, 'undefined']);
    await seesTheTerminalWay(ada, 'This page was not loaded over HTTPS');
    await ada.goto(`${keyward.url}/profile/api-keys/new`);
  });
});

test('a browser without Ed25519 shows an error when asked to generate a key pair', async ({ ada, keyward }) => {
  await ada.addInitScript(() => {
    crypto.subtle.generateKey = () => Promise.reject(new DOMException('Unrecognized name.', 'NotSupportedError'));
  });
  await ada.goto(`${keyward.url}/profile/api-keys/new`);
  await ada.locator('#generate-title').fill('Laptop');
  await ada.locator('label[for=generate-in-date]').click();
  await ada.locator('#generate-expires').fill('2099-12-31');
  await ada.getByRole('button', { name: 'Generate key pair' }).click();
  await seesTheTerminalWay(ada, 'This browser does not support Ed25519 keys');
  // What was typed goes along.
  await expect(ada.locator('#title')).toHaveValue('Laptop');
  await expect(ada.locator('#expires')).toHaveValue('2099-12-31');
  await expect(ada.locator('#public_key')).toBeFocused();
});

test.describe('without script', () => {
  test.use({ javaScriptEnabled: false });

  test('the terminal way is shown, and a pasted key is taken', async ({ page, keyward }) => {
    keyward.createWorkspace('acme', keyward.createUser('Ada'));
    const line = keyward.sshKeygen('id');
    await signIn(page, keyward, 'Ada');
    await page.goto(`${keyward.url}/profile/api-keys/new`);
    await expect(page.getByRole('button', { name: 'Generate key pair' })).toBeHidden();
    await page.getByText('Paste a public key').click();
    await page.locator('#title').fill('From a terminal');
    await page.locator('#public_key').fill(line);
    await page.getByRole('button', { name: 'Create', exact: true }).click();
    await expect(page.getByRole('heading', { name: 'From a terminal', level: 1 })).toBeVisible();
    await page.goto(`${keyward.url}/profile/api-keys`);
    await page.getByRole('row').filter({ hasText: 'From a terminal' }).locator('summary').click();
    await page.getByRole('link', { name: 'Disable' }).click();
    await page.getByRole('button', { name: 'Disable key' }).click();
    await expect(page.getByRole('status').filter({ hasText: 'was disabled.' })).toBeVisible();
    await page.getByRole('button', { name: 'Enable key' }).click();
    expect(keyward.whoami('id')).toContain('ada@example.com');
  });
});
