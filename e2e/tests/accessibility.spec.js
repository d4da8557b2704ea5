// axe finds nothing on any page, in the light and in the dark.

import { expect, findAxeViolations, findOverflow, otherPage, signIn, takePrivateKey, test } from '../support/test.js';
import { furnish, visitAll } from '../support/tour.js';

test('every page is accessible', async ({ page, browser, keyward, wire }) => {
  test.setTimeout(600_000);
  const pages = await furnish(page, browser, keyward, wire);
  const anonymous = await otherPage(browser, wire);
  const operator = await otherPage(browser, wire);
  await signIn(operator, keyward, 'Olga');
  const found = [];
  for (const [who, paths] of [[anonymous, pages.anonymous], [page, pages.admin], [operator, pages.operator]]) {
    await visitAll(who, keyward, paths, (name) => test.step(name, async () => {
      found.push(...await findAxeViolations(who));
      found.push(...await findOverflow(who, name));
    }));
  }
  expect(found).toEqual([]);
});

test('nor does a page that came back with something wrong, or an open menu, or a key that was added', async ({ ada, keyward }) => {
  const found = [];
  await ada.goto(`${keyward.url}/w/acme/general`);
  await ada.getByLabel('Workspace name').fill('Annotation of the northern harbour, autumn survey of the third year');
  await ada.getByRole('button', { name: 'Rename workspace' }).click();
  await ada.goto(`${keyward.url}/profile/api-keys/new`);
  await ada.getByText('Paste a public key').click();
  await ada.locator('#title').fill('Workstation');
  await ada.locator('#public_key').fill('ssh-ed25519 AAAA');
  await ada.getByRole('button', { name: 'Create', exact: true }).click();
  await ada.locator('#public_key-wrong').waitFor();
  found.push(...await findAxeViolations(ada));
  await ada.locator('summary[aria-label="Your account"]').click();
  found.push(...await findAxeViolations(ada));
  await ada.goto(`${keyward.url}/w/acme/projects`);
  await ada.locator('.picker summary').click();
  found.push(...await findAxeViolations(ada), ...await findOverflow(ada, 'the switcher'));
  await ada.goto(`${keyward.url}/profile/api-keys/new`);
  await ada.locator('#generate-title').fill('Laptop');
  await takePrivateKey(ada, keyward, () => ada.getByRole('button', { name: 'Generate key pair' }).click());
  await ada.getByRole('button', { name: 'Copy private key' }).click();
  await ada.getByText('The private key is copied.').waitFor();
  found.push(...await findAxeViolations(ada), ...await findOverflow(ada, 'a generated pair'));
  await ada.getByRole('button', { name: 'Add API key' }).click();
  await ada.getByRole('heading', { name: 'The key is added' }).waitFor();
  found.push(...await findAxeViolations(ada), ...await findOverflow(ada, 'a key that was added'));
  expect(found).toEqual([]);
});
