// A picture of every page, wide and narrow, light and dark, in target/screenshots. WIDTHS chooses other widths than 390,1280.

import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { otherPage, signIn, takePrivateKey, test } from '../support/test.js';
import { furnish, visitAll, restoreWithKeys } from '../support/tour.js';

const FOLDER = fileURLToPath(new URL('../../target/screenshots/', import.meta.url));

const WIDTHS = (process.env.WIDTHS ?? '390,1280').split(',').map(Number);

async function picture(page, name) {
  for (const width of WIDTHS) {
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize({ width, height: 800 });
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.screenshot({ path: `${FOLDER}${name}-${width}-${colorScheme}.png`, fullPage: true });
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 });
}

test.describe.configure({ mode: 'serial' });

test('pictures of every page', async ({ page, browser, keyward, wire }) => {
  test.setTimeout(1_800_000);
  rmSync(FOLDER, { recursive: true, force: true });
  const pages = await furnish(page, browser, keyward, wire);
  const anonymous = await otherPage(browser, wire);
  const operator = await otherPage(browser, wire);
  await signIn(operator, keyward, 'Olga');
  for (const [who, paths] of [[anonymous, pages.anonymous], [page, pages.admin], [operator, pages.operator]]) {
    await visitAll(who, keyward, paths, (name) => picture(who, name));
  }
  const newKey = pages.admin.find(([name]) => name === 'new-key')[1];
  await page.goto(`${keyward.url}${newKey}`);
  await page.locator('#generate-title').fill('Deploy from CI');
  await page.getByRole('button', { name: 'Generate key pair' }).click();
  await picture(page, 'key-generated');
  await takePrivateKey(page, keyward, () => page.getByRole('button', { name: 'Add API key' }).click());
  await picture(page, 'key-added');
  await page.goto(`${keyward.url}/profile/api-keys/new`);
  await page.locator('#generate-title').fill('Laptop');
  await takePrivateKey(page, keyward, () => page.getByRole('button', { name: 'Generate key pair' }).click());
  await picture(page, 'api-key-generated');
  await page.goto(`${keyward.url}/profile/api-keys/new`);
  await page.getByText('Paste a public key').click();
  await page.locator('#title').fill('Workstation');
  await page.locator('#public_key').fill('ssh-ed25519 AAAA');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await page.locator('#public_key-wrong').waitFor();
  await picture(page, 'key-wrong');
  await page.locator('summary[aria-label="Your account"]').click();
  await picture(page, 'menu');
});

test('pictures of what a restore leaves', async ({ page, keyward }) => {
  await restoreWithKeys(keyward);
  await signIn(page, keyward, 'Olga');
  for (const [name, path] of [['restored-system', '/operator/system'], ['restored-keys', '/operator/suspended-keys']]) {
    await page.goto(`${keyward.url}${path}`);
    await picture(page, name);
  }
});
