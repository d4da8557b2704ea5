// The overview of a workspace, the chart of use with its table for people who do not see it, the page of a key, members
// who are removed together, and the slug that is proposed for a workspace.

import { BROWSERS, Browser } from '../support/browsers.js';
import { expect, findAxeViolations, otherPage, PASSWORD, signIn, test } from '../support/test.js';

/** A service account with a key that a request used, and one that never was. */
async function use(keyward) {
  const account = keyward.createServiceAccount('acme', 'ci-runner');
  const used = keyward.addKey(['--service-account', account], 'Build machine');
  keyward.addKey(['--service-account', account], 'Spare');
  keyward.whoami(used);
  return account;
}

/** The overview, once the counters of the request are written. */
async function openOverview(page, keyward) {
  await expect(async () => {
    await page.goto(`${keyward.url}/w/acme`);
    await expect(page.getByRole('heading', { name: 'Overview', level: 1 })).toBeVisible({ timeout: 1000 });
    await expect(page.getByRole('img', { name: /^Requests per day: 1 accepted/ })).toBeVisible({ timeout: 1000 });
  }).toPass({ timeout: 40_000 });
}

test('the overview shows the use of keys as a chart, and the same numbers as a table', async ({ ada, keyward }) => {
  await ada.goto(`${keyward.url}/w/acme`);
  await expect(ada.getByRole('heading', { name: /^Welcome to/ })).toBeVisible();
  await use(keyward);
  await openOverview(ada, keyward);
  const most = ada.getByRole('region', { name: 'Most used keys' });
  await expect(most.getByRole('row').filter({ hasText: 'Build machine' })).toContainText('100%');
  await expect(ada.getByRole('region', { name: 'Latest changes' })).toContainText('added the key Spare');

  const chart = ada.getByRole('region', { name: 'Requests' });
  await chart.getByText('Show as a table').click();
  const table = chart.getByRole('table', { name: 'Requests by the day, the latest first. Times are in UTC.' });
  await expect(table.getByRole('columnheader')).toHaveText(['From (UTC)', 'Accepted', 'Refused', 'Why refused']);
  await expect(table.getByRole('row')).toHaveCount(2);
  expect(await findAxeViolations(ada)).toEqual([]);

  // Hours have a local time; days are those of UTC.
  await expect(table.locator('time')).toHaveCount(0);
  await chart.getByRole('link', { name: '24 hours' }).click();
  await chart.getByText('Show as a table').click();
  const hour = chart.getByRole('rowheader').locator('time');
  await expect(hour).toHaveAttribute('datetime', /^\d{4}-\d\d-\d\dT\d\d:00Z$/);
  await expect(hour).toHaveAttribute('title', /UTC/);
  await expect(chart.getByRole('link', { name: '24 hours' })).toHaveAttribute('aria-current', 'true');
});

test.describe('in another time zone', () => {
  test.use({ timezoneId: 'Asia/Kolkata' });

  test('the hours of a chart say the local time', async ({ ada, keyward }) => {
    await use(keyward);
    await openOverview(ada, keyward);
    await ada.getByRole('link', { name: '24 hours' }).click();
    await ada.getByText('Show as a table').click();
    const hour = ada.getByRole('rowheader').locator('time[datetime$=":00Z"]').first();
    await expect(hour).toHaveAttribute('title', /:30 (GMT\+5:30|IST)\n.*UTC$/);
  });
});

test('the page of a revoked key says who revoked it, and opens its events', async ({ ada, keyward }) => {
  await use(keyward);
  await ada.goto(`${keyward.url}/w/acme/service-accounts`);
  await ada.getByRole('link', { name: 'ci-runner', exact: true }).click();
  await ada.getByRole('link', { name: 'Spare', exact: true }).click();
  const key = new URL(ada.url()).pathname;
  await ada.getByRole('link', { name: 'Revoke key' }).click();
  await ada.getByRole('button', { name: 'Revoke' }).click();
  await ada.goto(`${keyward.url}${key}`);
  const revoked = ada.getByRole('definition').filter({ hasText: 'by Ada' });
  await expect(revoked).toBeVisible();
  const recent = ada.getByRole('region', { name: 'Recent activity' });
  await expect(recent.getByRole('listitem').first()).toContainText('Ada revoked the key Spare of ci-runner');
  expect(await findAxeViolations(ada)).toEqual([]);
  await recent.getByRole('link', { name: /^Details: Ada revoked the key Spare/ }).click();
  await expect(ada.getByRole('region', { name: 'Event', exact: true })).toContainText('In the signed log');
  await ada.goto(`${keyward.url}${key}`);
  await ada.getByRole('link', { name: 'All activity of this key' }).click();
  await expect(ada.getByRole('heading', { name: 'Activity', level: 1 })).toBeVisible();
});

test('several members are removed after one page that names them', async ({ ada, browser, keyward, wire }) => {
  await ada.goto(`${keyward.url}/w/acme/invitations`);
  await ada.getByLabel('Email addresses').fill('bob@example.com\ncarol@example.com');
  await ada.getByRole('button', { name: 'Invite', exact: true }).click();
  for (const name of ['Bob', 'Carol']) {
    const joins = await otherPage(browser, wire);
    await joins.goto(await ada.getByLabel(`${name.toLowerCase()}@example.com`, { exact: true }).inputValue());
    await joins.getByLabel('Your name').fill(name);
    await joins.getByLabel('Password').fill(PASSWORD);
    await joins.getByRole('button', { name: 'Join the workspace' }).click();
    await expect(joins.getByRole('heading', { level: 1 })).toContainText('Welcome');
    await joins.context().close();
  }
  await ada.goto(`${keyward.url}/w/acme/members`);
  await expect(ada.getByLabel('Select Ada')).toHaveCount(0);
  await ada.getByLabel('Select Bob').check();
  await ada.getByLabel('Select Carol').check();
  expect(await findAxeViolations(ada)).toEqual([]);
  await ada.getByRole('button', { name: 'Remove', exact: true }).click();
  await expect(ada.getByRole('heading', { name: 'Remove 2 members from Acme?' })).toBeVisible();
  await expect(ada.getByRole('listitem').filter({ hasText: 'Bob (bob@example.com)' })).toBeVisible();
  await expect(ada.getByRole('listitem').filter({ hasText: 'Carol (carol@example.com)' })).toBeVisible();
  expect(await findAxeViolations(ada)).toEqual([]);
  await ada.getByRole('button', { name: 'Remove members' }).click();
  await expect(ada.getByRole('status')).toContainText('Bob, Carol were removed from Acme.');
  await expect(ada.getByRole('table', { name: 'Members' }).getByRole('row')).toHaveCount(2);
});

test('a slug is proposed for the name of a workspace, and one that was typed stays', async ({ page, keyward }) => {
  keyward.createUser('Olga', '--operator');
  await signIn(page, keyward, 'Olga');
  await page.goto(`${keyward.url}/operator/workspaces/new`);
  const name = page.getByLabel('Name', { exact: true });
  const slug = page.getByLabel('Slug');
  // The same as the server proposes.
  for (const [typed, proposed] of [
    ['Harbour Survey', 'harbour-survey'], ['Café Zürich', 'cafe-zurich'], ['3D', 'workspace-3d'], ['日本', ''],
  ]) {
    await name.fill(typed);
    await expect(slug, typed).toHaveValue(proposed);
  }
  await slug.fill('own-slug');
  await name.fill('Harbour Survey');
  await expect(slug).toHaveValue('own-slug');
  await slug.fill('');
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await expect(page).toHaveURL(`${keyward.url}/w/harbour-survey`);
});

for (const engine of BROWSERS) {
  test(`${engine} shows the chart and proposes a slug`, async ({ keyward }) => {
    // A browser takes a while to start, on a machine where others do.
    test.setTimeout(180_000);
    keyward.createWorkspace('acme', keyward.createUser('Olga', '--operator'));
    await use(keyward);
    const browser = await Browser.open(engine);
    try {
      await browser.open(`${keyward.url}/sign-in`);
      await browser.type('input[name=email]', 'olga@example.com');
      await browser.type('input[name=password]', PASSWORD);
      await browser.click('main form button');
      await browser.see('summary[aria-label="Your account"]');
      // The counters of requests are written every few seconds.
      await browser.page.wait(async () => {
        await browser.open(`${keyward.url}/w/acme?window=24h`);
        return (await browser.page.findElements({ css: 'svg[role=img] rect.ok' })).length > 0;
      }, 40_000, 'the chart has no request');
      await browser.click('.as-table summary');
      const hour = await browser.see('.as-table time');
      expect(await hour.getAttribute('title')).toContain('UTC');
      await browser.open(`${keyward.url}/operator/workspaces/new`);
      await browser.type('#name', 'Harbour Survey');
      expect(await browser.value('#slug')).toBe('harbour-survey');
    } finally {
      await browser.close();
    }
  });
}
