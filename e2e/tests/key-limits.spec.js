// Limits of keys: set while a key pair is generated, shown on the page of the key, changed there.

import { expect, findAxeViolations, findOverflow, takePrivateKey, test } from '../support/test.js';

test.use({ settings: '[[scopes]]\nname = "invoices:read"\ndescription = "Read invoices"\n' });

const project = async (page, keyward, title) => {
  await page.goto(`${keyward.url}/w/acme/projects/new`);
  await page.getByLabel('Title').fill(title);
  await page.getByRole('button', { name: 'Create project' }).click();
  await page.getByRole('heading', { name: title, level: 1 }).waitFor();
};

const create = (keyward, key, title) => keyward.run(['projects', 'create', title, '--url', keyward.url, '--key', key]);

test('a generated key is limited from its first request on, and its limits are changed later', async ({ ada, keyward }) => {
  await project(ada, keyward, 'Street signs');
  await project(ada, keyward, 'Tidal gauges');
  await ada.goto(`${keyward.url}/profile/api-keys/new`);
  await ada.locator('#generate-title').fill('Reports');
  const fold = ada.locator('#generate-card details.fold');
  await expect(fold.getByText('Only read')).toBeHidden();
  await fold.locator('summary').click();
  await fold.getByText('Only read', { exact: true }).click();
  await expect(fold.getByText('Street signs')).toBeHidden();
  await fold.getByText('Chosen projects', { exact: true }).click();
  await fold.getByLabel('Street signs').check();
  await fold.getByLabel('Networks').fill('127.0.0.0/8, 2001:db8::1/32');
  const key = await takePrivateKey(ada, keyward, () => ada.getByRole('button', { name: 'Generate key pair' }).click());
  await ada.getByRole('button', { name: 'Add API key' }).click();
  // What is wrong is at its field, also if it was folded, and nothing is lost.
  await expect(ada.locator('#generate-networks-wrong')).toContainText('write 2001:db8::/32 for the network');
  await expect(ada.locator('#generate-networks')).toBeFocused();
  await expect(fold.getByLabel('Street signs')).toBeChecked();
  await fold.getByLabel('Networks').fill('127.0.0.0/8, 2001:db8::/32');
  await ada.getByRole('button', { name: 'Add API key' }).click();
  await expect(ada.getByRole('heading', { name: 'The key is added' })).toBeVisible();
  await expect(ada.locator('#added-accepted')).toHaveText('Its requests are accepted within its limits.');
  expect(keyward.listProjectsWithSdk(key.path)).toEqual(['Street signs']);
  expect(() => create(keyward, key.path, 'Another')).toThrow(/limited/);

  await ada.getByRole('link', { name: 'Back to the list' }).click();
  const tag = ada.getByRole('row').filter({ hasText: 'Reports' }).getByText('Limited');
  await expect(tag).toHaveAttribute('title', 'Only read; 1 project; from 127.0.0.0/8, 2001:db8::/32');
  await ada.getByRole('link', { name: 'Reports', exact: true }).click();
  const card = ada.locator('#limits');
  await expect(card.locator('dt:text-is("May do") + dd')).toHaveText('Only read');
  await expect(card.getByRole('link', { name: 'Street signs' })).toBeVisible();

  await card.getByRole('link', { name: 'Edit limits' }).click();
  await expect(ada.getByRole('heading', { name: 'Limits of Reports', level: 1 })).toBeVisible();
  await expect(ada.getByLabel('Only read')).toBeChecked();
  await expect(ada.getByLabel('Street signs')).toBeChecked();
  await ada.getByText('Every project', { exact: true }).click();
  await expect(ada.getByLabel('Street signs')).toBeHidden();
  await ada.getByText('Read and change projects').click();
  await ada.getByRole('button', { name: 'Save limits' }).click();
  await expect(ada.getByRole('status')).toContainText('It may do more now.');
  create(keyward, key.path, 'Harbour');
  expect(keyward.listProjectsWithSdk(key.path)).toEqual(['Harbour', 'Street signs', 'Tidal gauges']);

  await card.getByRole('link', { name: 'Edit limits' }).click();
  await ada.getByLabel('Networks').fill('192.0.2.0/24');
  await ada.getByRole('button', { name: 'Save limits' }).click();
  await expect(ada.getByRole('status')).toContainText('is refused now');
  expect(() => keyward.whoami(key.path)).toThrow(/127\.0\.0\.1/);
  await expect(ada.getByText('changed the limits of the key').first()).toBeVisible();
});

test('the pages of limits fit at every width and are accessible', async ({ ada, keyward }) => {
  test.setTimeout(180_000);
  const long = 'Boundary annotation for the northern harbour, autumn survey of the third year, revision B';
  await project(ada, keyward, long);
  await ada.goto(`${keyward.url}/profile/api-keys/new`);
  const found = [];
  const open = async (form) => {
    await form.getByText('Chosen scopes', { exact: true }).click();
    await form.getByText('Chosen projects', { exact: true }).click();
    await form.getByText('Chosen workspaces', { exact: true }).click();
    await expect(form.getByText(long)).toBeVisible();
    await expect(form.getByText('Read invoices')).toBeVisible();
  };
  await ada.locator('#generate-card summary').click();
  await open(ada.locator('#generate-card'));
  const look = async (name) => {
    for (let width = 320; width <= 1920; width += 80) {
      await ada.setViewportSize({ width, height: 900 });
      const wanted = await ada.evaluate(() => document.documentElement.scrollWidth);
      if (wanted > width) found.push(`${name} is ${wanted} wide at ${width}`);
    }
    await ada.setViewportSize({ width: 1280, height: 800 });
    found.push(...await findAxeViolations(ada), ...await findOverflow(ada, name));
  };
  await look('a new key');
  await ada.getByText('Paste a public key').click();
  await ada.locator('#paste-card summary').click();
  await open(ada.locator('#paste-card'));
  await ada.locator('#title').fill('Limited');
  await ada.locator('#public_key').fill(keyward.sshKeygen('limited'));
  await ada.locator('#paste').getByLabel('invoices:read').check();
  await ada.locator('#paste').getByLabel(long).check();
  await ada.locator('#paste').getByLabel('Networks').fill('here');
  await ada.getByRole('button', { name: 'Create', exact: true }).click();
  await expect(ada.locator('#workspaces-wrong')).toBeVisible();
  await look('what is wrong');
  await ada.locator('#paste').getByText('Every workspace', { exact: true }).click();
  await ada.locator('#paste').getByLabel('Networks').fill('198.51.100.0/24 2001:db8:85a3:8d3:1319:8a2e:370:7348');
  await ada.getByRole('button', { name: 'Create', exact: true }).click();
  await expect(ada.locator('#limits').getByRole('link', { name: long })).toBeVisible();
  await look('the page of a key');
  await ada.locator('#limits').getByRole('link', { name: 'Edit limits' }).click();
  await expect(ada.getByLabel(long)).toBeChecked();
  await look('the limits of a key');
  await ada.goto(`${keyward.url}/profile/api-keys`);
  await expect(ada.getByText('Limited', { exact: true }).last()).toBeVisible();
  await look('the list');
  expect(found).toEqual([]);
});
