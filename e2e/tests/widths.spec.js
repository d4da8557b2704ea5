// At every width, with every column filled, a table stays inside its card and the page inside the window, and each cell
// stands under the head of its column.

import { expect, test } from '../support/test.js';

const WIDTHS = Array.from({ length: 81 }, (_, nth) => 320 + nth * 20);

/** What is wider than what holds it, and rows with other columns than the head of their table. */
const findFaults = (page) => page.evaluate(() => {
  const found = [];
  const wanted = document.documentElement.scrollWidth;
  if (wanted > innerWidth) found.push(`the page is ${wanted} wide`);
  for (const card of document.querySelectorAll('.card')) {
    const right = card.getBoundingClientRect().right;
    for (const part of card.querySelectorAll('table, th, td')) {
      const end = part.getBoundingClientRect().right;
      if (end > right + 0.5) found.push(`${part.tagName} "${part.textContent.trim().slice(0, 20)}" ends ${end - right} after its card`);
    }
  }
  const count = (cells) => [...cells].filter((cell) => cell.getClientRects().length).length;
  for (const table of document.querySelectorAll('.table:has(thead)')) {
    const heads = count(table.tHead.rows[0].cells);
    for (const row of heads ? table.tBodies[0].rows : []) {
      const cells = count(row.cells);
      if (cells !== heads) found.push(`"${row.cells[0].textContent.trim().slice(0, 20)}" has ${cells} cells under ${heads} heads`);
    }
  }
  return found;
});

test('a table of keys fits from 320 to 1920 pixels', async ({ ada, keyward }) => {
  test.setTimeout(180_000);
  const account = keyward.createServiceAccount('acme', 'label-exporter');
  const expires = new Date(Date.now() + 8 * 86_400_000).toISOString();
  for (const owner of [['--service-account', account], ['--user', 'ada@example.com']]) {
    const used = keyward.addKey(owner, `Build machine of the northern harbour, ${owner[1].slice(0, 3)}`, '--expires-at', expires);
    keyward.addKey(owner, `Never used ${owner[1].slice(0, 3)}`, '--scope', 'keyward:read', '--cidr', '10.0.0.0/8');
    keyward.whoami(used);
  }
  await ada.goto(`${keyward.url}/w/acme/service-accounts`);
  await ada.locator('tbody th a').first().click();
  const keys = ada.url();
  // A use is recorded some seconds after its request.
  await expect(async () => {
    await ada.reload();
    await expect(ada.getByText('from 127.0.0.1').first()).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 20_000 });
  await ada.goto(`${keyward.url}/w/acme/projects/new`);
  await ada.getByLabel('Title').fill('Boundary annotation for the northern harbour, autumn survey of the third year');
  await ada.getByRole('button', { name: 'Create project' }).click();
  await ada.getByRole('link', { name: 'Invitations' }).click();
  await ada.getByLabel('Email addresses').fill('carol.with.a.very.long.name@department.research.example.com');
  await ada.getByRole('button', { name: 'Invite', exact: true }).click();
  await ada.getByText('Copy this link').waitFor();
  const lists = ['profile/api-keys', 'w/acme/service-accounts', 'w/acme/members', 'w/acme/projects', 'w/acme/invitations', 'profile'];
  for (const url of [keys, ...lists.map((path) => `${keyward.url}/${path}`)]) {
    await ada.goto(url);
    await expect(ada.locator('.card table tbody tr').first(), url).toBeVisible();
    for (const width of WIDTHS) {
      await ada.setViewportSize({ width, height: 900 });
      expect(await findFaults(ada), `${url} at ${width}`).toEqual([]);
    }
  }
});
