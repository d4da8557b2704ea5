// Mail filters and chat programs open links before people do. A link that works once still works then.

import { expect, otherPage, PASSWORD, test } from '../support/test.js';

/** Opens a link as filters do: without a browser, and in one that runs scripts and follows every link of the page. */
async function scan(browser, wire, link) {
  for (const method of ['HEAD', 'GET', 'HEAD', 'GET', 'OPTIONS']) {
    const response = await fetch(link, { method, headers: { 'user-agent': 'LinkScanner/1.0' } });
    if (method !== 'OPTIONS') expect(response.status, method).toBe(200);
    await response.arrayBuffer();
  }
  const scanner = await otherPage(browser, wire, { userAgent: 'Mozilla/5.0 (compatible; LinkScanner/1.0)' });
  await scanner.goto(link, { waitUntil: 'networkidle' });
  const links = await scanner.evaluate(() => Array.from(document.links, ({ href }) => href));
  expect(links.length).toBeGreaterThan(0);
  for (const href of links) await scanner.goto(href, { waitUntil: 'networkidle' });
  await scanner.goto(link, { waitUntil: 'networkidle' });
  await scanner.reload({ waitUntil: 'networkidle' });
  await scanner.context().close();
}

test('an invitation that a filter has opened still leads in', async ({ ada, browser, keyward, wire }) => {
  await ada.goto(`${keyward.url}/w/acme/invitations`);
  await ada.getByLabel('Email addresses').fill('bob@example.com');
  await ada.getByRole('button', { name: 'Invite', exact: true }).click();
  const link = await ada.getByLabel('bob@example.com', { exact: true }).inputValue();
  await scan(browser, wire, link);
  const bob = await otherPage(browser, wire);
  await bob.goto(link);
  await bob.getByLabel('Your name').fill('Bob');
  await bob.getByLabel('Password').fill(PASSWORD);
  await bob.getByRole('button', { name: 'Join the workspace' }).click();
  await expect(bob.getByRole('status')).toContainText('You have joined');
});

test('a set-up link that a filter has opened still makes an operator', async ({ page, browser, keyward, wire }) => {
  await scan(browser, wire, keyward.setUpLink);
  await page.goto(keyward.setUpLink);
  await page.getByLabel('Email').fill('olga@example.com');
  await page.getByLabel('Name').fill('Olga');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Create the operator' }).click();
  await expect(page.getByRole('heading', { name: 'Create workspace', exact: true })).toBeVisible();
});
