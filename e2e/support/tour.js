// Every page there is, with people and things on it: for what must hold on each of them, and for their pictures.

import { otherPage, PASSWORD, signIn } from './test.js';

const LONG = 'Boundary annotation for the northern harbour, autumn survey of the third year, revision B';

/** A workspace as one finds it after some weeks, and where all pages of it are. */
export async function furnish(page, browser, keyward, wire) {
  const setUp = keyward.setUpLink;
  keyward.createUser('Olga', '--operator');
  keyward.createWorkspace('acme', keyward.createUser('Ada'), 'Acme Robotics');
  keyward.admin('set-quota', ['--workspace', 'acme', '--service-accounts', '3', '--keys-per-service-account', '7']);
  const account = keyward.createServiceAccount('acme', 'ci-runner');
  keyward.createServiceAccount('acme', 'label-exporter-for-the-northern-harbour');
  const ofAccount = ['--service-account', account];
  const soon = new Date(Date.now() + 6 * 86_400_000).toISOString().replace(/\.\d+/, '');
  keyward.whoami(keyward.addKey(ofAccount, 'Build machine, Berlin'));
  keyward.addKey(ofAccount, 'Nightly export', '--expires-at', soon);
  keyward.addKey(ofAccount, `${LONG} (spare)`);
  keyward.addKey(ofAccount, 'Old laptop');
  keyward.addKey(ofAccount, 'Reports', '--scope', 'keyward:read', '--cidr', '192.0.2.0/24', '--not-before', soon);
  keyward.run(['keys', 'rotate', '--url', keyward.url, '--key', keyward.addKey(ofAccount, 'Label import')]);
  keyward.whoami(keyward.addKey(['--user', 'ada@example.com'], 'Workstation'));
  keyward.addKey(['--user', 'ada@example.com'], 'Travel laptop', '--expires-at', soon);

  await signIn(page, keyward, 'Ada');
  const at = (path) => page.goto(`${keyward.url}${path}`);
  await at('/w/acme/invitations');
  await page.getByLabel('Email addresses').fill('bob@example.com\ncarol.with.a.very.long.name@department.research.example.com');
  await page.getByRole('button', { name: 'Invite', exact: true }).click();
  const invitation = await page.getByLabel('carol.with', { exact: false }).first().inputValue();
  const bob = await otherPage(browser, wire);
  await bob.goto(await page.getByLabel('bob@example.com', { exact: true }).inputValue());
  await bob.getByLabel('Your name').fill('Bob Whittaker');
  await bob.getByLabel('Password').fill(PASSWORD);
  await bob.getByRole('button', { name: 'Join the workspace' }).click();
  await bob.getByRole('link', { name: 'Create project' }).click();
  await bob.getByLabel('Title').fill('Tidal gauges');
  await bob.getByRole('button', { name: 'Create project' }).click();
  await bob.context().close();
  for (const [title, description] of [['Street signs', 'Bounding boxes for the 2026 survey'], [LONG, '']]) {
    await at('/w/acme/projects/new');
    await page.getByLabel('Title').fill(title);
    await page.getByLabel('Description').fill(description);
    await page.getByRole('button', { name: 'Create project' }).click();
  }
  await at('/w/acme/projects');
  await page.getByRole('link', { name: 'Street signs' }).click();
  const project = new URL(page.url()).pathname;
  for (const [who, role] of [['Bob Whittaker (bob@example.com)', 'editor'], [account, 'viewer']]) {
    await page.getByLabel('Who').selectOption(who);
    await page.getByLabel('Role', { exact: true }).selectOption(role);
    await page.getByRole('button', { name: 'Add to project' }).click();
  }
  await at('/w/acme/service-accounts');
  await page.getByRole('link', { name: 'ci-runner', exact: true }).click();
  const serviceAccount = new URL(page.url()).pathname;
  await page.getByRole('link', { name: 'Old laptop', exact: true }).click();
  await page.getByRole('link', { name: 'Revoke' }).click();
  await page.getByRole('button', { name: 'Revoke' }).click();
  await page.getByRole('link', { name: 'Reports', exact: true }).click();
  const limited = new URL(page.url()).pathname;
  await page.goBack();
  await page.getByRole('row').filter({ hasText: 'replaced by' }).getByRole('link', { name: 'Label import', exact: true }).click();
  const rotated = new URL(page.url()).pathname;
  const successor = await page.locator('#rotation a').first().getAttribute('href');
  await page.goBack();
  await page.getByRole('link', { name: 'Build machine, Berlin', exact: true }).click();
  const key = new URL(page.url()).pathname;
  await at('/w/acme/members');
  const removal = await page.locator('a[href$="/remove"]', { hasText: 'Remove' }).getAttribute('href');
  const projectRemoval = `${project}/members/${removal.split('/').at(-2)}/remove`;

  return {
    anonymous: [
      ['sign-in', '/sign-in'],
      ['set-up', new URL(setUp).pathname],
      ['invitation', new URL(invitation).pathname],
      ['help', '/help'],
      ['guide', '/help/user-guide'],
      ['not-found', '/w/nowhere'],
    ],
    admin: [
      ['workspaces', '/workspaces'],
      ['overview', '/w/acme'],
      ['overview-90d', '/w/acme?window=90d'],
      ['projects', '/w/acme/projects'],
      ['project-new', '/w/acme/projects/new'],
      ['project', project],
      ['project-delete', `${project}/delete`],
      ['project-member-remove', projectRemoval],
      ['keys', '/w/acme/keys'],
      ['members', '/w/acme/members'],
      ['member-remove', removal],
      ['invitations', '/w/acme/invitations'],
      ['service-accounts', '/w/acme/service-accounts'],
      ['service-account-new', '/w/acme/service-accounts/new'],
      ['service-account', serviceAccount],
      ['service-account-settings', `${serviceAccount}/settings`],
      ['service-account-disable', `${serviceAccount}/disable`],
      ['service-account-delete', `${serviceAccount}/delete`],
      ['service-account-inactive-keys', `${serviceAccount}?filter=all`],
      ['new-key', `${serviceAccount}/keys/new`],
      ['key', key],
      ['key-revoke', `${key}/revoke`],
      ['key-limited', limited],
      ['key-limits', `${limited}/limits`],
      ['key-rotate', `${key}/rotate`],
      ['key-rotated', rotated],
      ['key-successor', successor],
      ['key-rotation-undo', `${rotated}/rotate/undo`],
      ['activity', '/w/acme/activity'],
      ['activity-refused', '/w/acme/activity?kind=refused'],
      ['general', '/w/acme/general'],
      ['workspace-delete', '/w/acme/delete'],
      ['profile', '/profile'],
      ['api-keys', '/profile/api-keys'],
      ['api-key-new', '/profile/api-keys/new'],
    ],
    operator: [
      ['operator-workspaces', '/operator/workspaces'],
      ['operator-workspace-new', '/operator/workspaces/new'],
      ['operator-users', '/operator/users'],
      ['operator-system', '/operator/system'],
      ['operator-suspended-keys', '/operator/suspended-keys'],
      ['operator-activity', '/operator/activity'],
      ['api-keys-empty', '/profile/api-keys'],
    ],
  };
}

/** A page without its ids and values: `/w/acme/projects/prj_1?sort=title` and `/w/acme/projects/prj_2?sort=created` are alike. */
function shapeOf(url) {
  const path = url.pathname.replace(/\/([a-z]+)_[0-9A-Za-z_-]+/g, '/$1').replace(/^\/w\/[^/]+/, '/w/-').replace(/^\/help\/.+/, '/help/-');
  return [path, ...[...url.searchParams.keys()].sort()].join(' ');
}

/** Opens each page of a list, and one of each kind that these link to, and those link to, and does something there. */
export async function visitAll(page, keyward, listed, look) {
  const opened = new Set();
  const waiting = listed.map(([name, path]) => [name, new URL(path, keyward.url), true]);
  for (let next; (next = waiting.shift());) {
    const [name, url, isListed] = next;
    const shape = shapeOf(url);
    if (opened.has(shape) && !isListed) continue;
    opened.add(shape);
    await page.goto(url.href);
    await look(name, url);
    const links = await page.evaluate(() => Array.from(document.querySelectorAll('a[href]:not([download])'), ({ href }) => href));
    for (const link of links.map((href) => new URL(href))) {
      // Combinations of filters are like each filter alone.
      if (link.origin !== url.origin || link.searchParams.size > 1 || link.searchParams.has('format') || /\.(csv|jsonl|txt|json)$/.test(link.pathname)) continue;
      link.hash = '';
      const linked = shapeOf(link);
      if (!opened.has(linked)) waiting.push([linked.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, ''), link, false]);
    }
  }
  return opened;
}

/** An installation that came back from a backup: an operator, and keys that wait for them. */
export async function restoreWithKeys(keyward) {
  keyward.createWorkspace('acme', keyward.createUser('Olga', '--operator'));
  const account = keyward.createServiceAccount('acme', 'ci-runner');
  keyward.addKey(['--user', 'olga@example.com'], 'laptop');
  keyward.addKey(['--service-account', account], 'build');
  keyward.addKey(['--service-account', account], `${LONG} (spare)`);
  await keyward.restoreFromBackup();
  keyward.admin('confirm-users', ['--all']);
}
