// A picture of every page, wide and narrow, light and dark, in target/screenshots. WIDTHS chooses other widths than 390,1280.

import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, otherPage, signIn, takePrivateKey, test } from '../support/test.js';
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

/** The pictures of docs/: of components for docs/design.md, and of pages for the guides. */
test('pictures for the documents', async ({ page, browser, keyward, wire }) => {
  test.setTimeout(300_000);
  const pages = await furnish(page, browser, keyward, wire);
  const paths = Object.fromEntries(pages.admin);
  const at = (name) => page.goto(`${keyward.url}${paths[name]}`);
  await page.setViewportSize({ width: 1120, height: 760 });
  // The counters of requests are written every few seconds.
  await expect.poll(async () => {
    await at('key');
    return page.locator('svg[role=img] rect.ok').count();
  }, { timeout: 30_000 }).toBeGreaterThan(0);
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    const save = (place, name) => place.screenshot({ path: `${FOLDER}docs/design-${name}-${colorScheme}.png` });
    await at('service-account');
    await save(page.locator('.head'), 'head');
    await save(page.locator('.strip'), 'strip');
    await page.locator('.choose input').nth(1).check();
    await save(page.locator('form:has(.bulk)'), 'list');
    await at('key');
    await save(page.locator('.card').first(), 'chart');
    await at('key-revoke');
    await save(page.locator('.page-dialog'), 'confirmation');
    await at('service-account-settings');
    await save(page.locator('.roles'), 'choices');
    await save(page.locator('.card').last(), 'danger');
  }
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
  const whole = (name) => page.screenshot({ path: `${FOLDER}docs/${name}.png`, fullPage: true });
  for (const name of ['api-keys', 'project', 'service-account', 'service-accounts', 'new-key', 'overview']) {
    await at(name);
    await whole(name);
  }
  await at('new-key');
  await page.locator('#generate-title').fill('Deploy from CI');
  await page.getByRole('button', { name: 'Generate key pair' }).click();
  await takePrivateKey(page, keyward, () => page.getByRole('button', { name: 'Add API key' }).click());
  await page.locator('#added').waitFor();
  // The bar stays at the top of the window, wherever the page was scrolled to.
  await page.evaluate(() => scrollTo(0, 0));
  await whole('key-made');
});
