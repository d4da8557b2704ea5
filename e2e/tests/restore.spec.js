// What a restore leaves: keys that wait until an operator has confirmed them.

import { expect, findAxeViolations, findOverflow, signIn, test } from '../support/test.js';
import { restoreWithKeys } from '../support/tour.js';

test('after a restore no key works until an operator has confirmed it', async ({ page, keyward }) => {
  await restoreWithKeys(keyward);
  expect(() => keyward.whoami('key-laptop')).toThrow('confirm-keys');
  await signIn(page, keyward, 'Olga');
  await page.locator('summary[aria-label="Your account"]').click();
  await page.getByRole('link', { name: 'Operator pages' }).click();
  await page.getByRole('link', { name: 'System' }).click();
  await page.getByRole('link', { name: 'Confirm the keys that may be used again' }).click();
  const row = page.getByRole('row').filter({ hasText: 'laptop' });
  await expect(row).toContainText('olga@example.com');
  await expect(row).toContainText('Never');
  expect(await findAxeViolations(page)).toEqual([]);
  expect(await findOverflow(page, 'suspended keys')).toEqual([]);

  await page.getByLabel('laptop', { exact: true }).check();
  await page.getByRole('button', { name: 'Confirm the selected keys' }).click();
  await expect(page.getByRole('status')).toContainText('1 key works again.');
  await expect(row).toHaveCount(0);
  expect(keyward.whoami('key-laptop')).toContain('olga@example.com');
  expect(() => keyward.whoami('key-build')).toThrow();

  await page.getByRole('button', { name: 'Confirm all keys' }).click();
  await expect(page.getByRole('heading', { name: /^Confirm \d keys?\?$/ })).toBeVisible();
  await page.getByRole('button', { name: 'Confirm all keys' }).click();
  await expect(page.getByRole('heading', { name: 'No key is suspended' })).toBeVisible();
  expect(keyward.whoami('key-build')).toContain('ci-runner@acme.sa.keyward.local');
});
