// What people do in a workspace, without script.

import { expect, otherPage, PASSWORD, signIn, test } from '../support/test.js';

test.use({ javaScriptEnabled: false });

const row = (page, text) => page.getByRole('row').filter({ hasText: text });

test('several people are invited at once; one joins, one is sent another link, one is taken back', async ({ ada, browser, keyward, wire }) => {
  await ada.getByRole('link', { name: 'Invitations' }).click();
  await ada.getByLabel('Email addresses').fill('bob@example.com, carol@example.com\ndan@example.com nonsense');
  await ada.getByRole('button', { name: 'Invite', exact: true }).click();
  await expect(ada.locator('#emails-wrong')).toBeVisible();
  await expect(ada.getByLabel('Email addresses')).toHaveValue('bob@example.com, carol@example.com\ndan@example.com nonsense');
  await ada.getByLabel('Email addresses').fill('bob@example.com, carol@example.com\ndan@example.com');
  await ada.getByRole('button', { name: 'Invite', exact: true }).click();
  const link = await ada.getByLabel('bob@example.com', { exact: true }).inputValue();
  const replaced = await ada.getByLabel('carol@example.com', { exact: true }).inputValue();
  await expect(ada.getByText('This server does not send mail, so nobody was notified.')).toBeVisible();
  await row(ada, 'carol@example.com').getByLabel('Actions for carol@example.com').click();
  await row(ada, 'carol@example.com').getByRole('button', { name: 'New link' }).click();
  const again = await ada.getByLabel('carol@example.com', { exact: true }).inputValue();
  // Enter on a checkbox asks about the selected invitations, and sends no other one again.
  await row(ada, 'dan@example.com').getByRole('checkbox').check();
  await row(ada, 'dan@example.com').getByRole('checkbox').press('Enter');
  await expect(ada.getByRole('heading', { name: 'Revoke the invitation of dan@example.com?' })).toBeVisible();
  await ada.getByRole('link', { name: 'Cancel' }).click();
  await row(ada, 'dan@example.com').getByLabel('Actions for dan@example.com').click();
  await row(ada, 'dan@example.com').getByRole('link', { name: 'Revoke' }).click();
  await expect(ada.getByRole('heading', { name: 'Revoke the invitation of dan@example.com?' })).toBeVisible();
  await ada.getByRole('button', { name: 'Revoke invitation' }).click();
  await expect(ada.getByRole('status')).toContainText('The invitation of dan@example.com was revoked.');
  await expect(row(ada, 'dan@example.com')).toContainText('Revoked');

  const bob = await otherPage(browser, wire, { javaScriptEnabled: false });
  await bob.goto(link);
  await expect(bob.getByRole('heading')).toContainText('Join Acme');
  await bob.getByLabel('Your name').fill('Bob');
  await bob.getByLabel('Password').fill(PASSWORD);
  await bob.getByRole('button', { name: 'Join the workspace' }).click();
  await expect(bob.getByRole('status')).toContainText('You have joined');
  await bob.goto(link);
  await expect(bob.getByText('This invitation is no longer valid')).toBeVisible();
  await bob.goto(replaced);
  await expect(bob.getByText('This invitation is no longer valid')).toBeVisible();
  await bob.goto(again);
  await expect(bob.getByText('carol@example.com is invited as member')).toBeVisible();
  await ada.getByRole('link', { name: 'Members' }).click();
  await expect(row(ada, 'bob@example.com')).toContainText('Bob');
});

test('an invited user with an account signs in and joins', async ({ ada, browser, keyward, wire }) => {
  keyward.createUser('Bob');
  await ada.getByRole('link', { name: 'Invitations' }).click();
  await ada.getByLabel('Email addresses').fill('bob@example.com');
  await ada.getByRole('button', { name: 'Invite', exact: true }).click();
  const link = await ada.getByLabel('bob@example.com', { exact: true }).inputValue();
  const bob = await otherPage(browser, wire, { javaScriptEnabled: false });
  await bob.goto(link);
  await bob.getByRole('link', { name: 'Sign in' }).click();
  await bob.getByLabel('Email').fill('bob@example.com');
  await bob.getByLabel('Password').fill(PASSWORD);
  await bob.getByRole('button', { name: 'Sign in' }).click();
  await bob.getByRole('button', { name: 'Join the workspace' }).click();
  await expect(bob).toHaveURL(/\/w\/acme$/);
});

test('a project is made, renamed, shared, left and deleted', async ({ ada, browser, keyward, wire }) => {
  keyward.createServiceAccount('acme', 'bot');
  keyward.createWorkspace('other', keyward.createUser('Bob'));
  await join(ada, browser, wire, 'Bob');
  await ada.getByRole('link', { name: 'Projects' }).click();
  await ada.getByRole('link', { name: 'Create project' }).first().click();
  await ada.getByLabel('Title').fill('Maps');
  await ada.getByRole('button', { name: 'Create project' }).click();
  await ada.getByLabel('Title').fill('Maps of Europe');
  await ada.getByRole('button', { name: 'Save' }).click();
  await expect(ada.getByRole('heading', { name: 'Maps of Europe' })).toBeVisible();
  for (const [who, role] of [['Bob (bob@example.com)', 'admin'], ['bot@acme.sa.keyward.local', 'editor']]) {
    await ada.getByLabel('Who').selectOption(who);
    await ada.getByLabel('Role', { exact: true }).selectOption(role);
    await ada.getByRole('button', { name: 'Add to project' }).click();
  }
  await expect(row(ada, 'bot@acme').getByRole('combobox')).toHaveValue('editor');
  await row(ada, 'bot@acme').getByRole('combobox').selectOption('viewer');
  await row(ada, 'bot@acme').getByRole('button', { name: 'Apply' }).click();
  await expect(ada.getByRole('status')).toContainText('bot is now a viewer of the project.');
  await row(ada, 'ada@example.com').getByLabel('Actions for Ada').click();
  await row(ada, 'ada@example.com').getByRole('link', { name: 'Leave' }).click();
  await ada.getByRole('button', { name: 'Leave project' }).click();
  await expect(ada.getByRole('status')).toContainText('You have left Maps of Europe.');
  await expect(row(ada, 'Maps of Europe')).toContainText('Not a member');
  await ada.getByRole('link', { name: 'Maps of Europe' }).click();
  await ada.getByRole('button', { name: 'Join as admin' }).click();
  await ada.getByRole('link', { name: 'Delete' }).click();
  await ada.getByRole('button', { name: 'Delete project' }).click();
  await expect(ada.getByText('No projects yet')).toBeVisible();
});

test('removing a member shows what ends, and asks for a successor in their projects', async ({ ada, browser, keyward, wire }) => {
  keyward.createUser('Bob');
  const bob = await join(ada, browser, wire, 'Bob');
  await bob.getByRole('link', { name: 'Create project' }).click();
  await bob.getByLabel('Title').fill('Tides');
  await bob.getByRole('button', { name: 'Create project' }).click();
  keyward.sshKeygen('id');
  keyward.admin('add-key', ['--user', 'bob@example.com', '--title', 'laptop', '--public-key-file', 'id.pub']);
  expect(keyward.whoami('id')).toContain('acme');

  await ada.getByRole('link', { name: 'Members' }).click();
  await row(ada, 'bob@example.com').getByLabel('Actions for Bob').click();
  await row(ada, 'bob@example.com').getByRole('link', { name: 'Remove' }).click();
  // A use is recorded shortly after its request.
  await expect(async () => {
    await ada.reload();
    await expect(ada.getByText(/Their API key \(last used .*\) no longer reaches Acme\./)).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 15_000 });
  await expect(ada.getByText('These projects have no other admin: Tides')).toBeVisible();
  await ada.getByLabel('New admin of these projects').selectOption('Ada (ada@example.com)');
  await ada.getByRole('button', { name: 'Remove member' }).click();
  await expect(ada.getByRole('status')).toContainText('Bob was removed from Acme.');
  expect(() => keyward.whoami('id')).toThrow();
  await bob.reload();
  await expect(bob.getByRole('heading', { name: 'Sign in' })).toBeVisible();
  await ada.getByRole('link', { name: 'Projects' }).click();
  await expect(row(ada, 'Tides')).toContainText('Admin');
});

test('the last admin stays, and a role is changed by another', async ({ ada, browser, keyward, wire }) => {
  keyward.createUser('Bob');
  const bob = await join(ada, browser, wire, 'Bob');
  await expect(bob.getByRole('link', { name: 'Service accounts' })).toHaveCount(0);
  await ada.getByRole('link', { name: 'Members' }).click();
  await row(ada, 'ada@example.com').getByRole('combobox').selectOption('member');
  await row(ada, 'ada@example.com').getByRole('button', { name: 'Apply' }).click();
  await expect(ada.getByText('Make another member an admin first.')).toBeVisible();
  await ada.getByRole('link', { name: 'Back to members' }).click();
  await row(ada, 'ada@example.com').getByLabel('Actions for Ada').click();
  await row(ada, 'ada@example.com').getByRole('link', { name: 'Leave' }).click();
  await expect(ada.getByText('Make another member an admin before you leave.')).toBeVisible();
  await ada.getByRole('link', { name: 'Back to members' }).click();
  await expect(row(ada, 'bob@example.com').getByRole('button', { name: 'Apply' })).toBeHidden();
  await row(ada, 'bob@example.com').getByRole('combobox').selectOption('admin');
  await row(ada, 'bob@example.com').getByRole('button', { name: 'Apply' }).click();
  await expect(ada.getByRole('heading', { name: 'Make bob@example.com an admin?' })).toBeVisible();
  await ada.getByRole('button', { name: 'Make admin' }).click();
  await expect(ada.getByRole('status')).toContainText('Bob is now an admin of Acme.');
  await bob.reload();
  await expect(bob.getByRole('link', { name: 'Service accounts' })).toBeVisible();
});

test('what was done is found again, and taken away', async ({ ada, keyward }) => {
  await ada.goto(`${keyward.url}/w/acme/projects/new`);
  await ada.getByLabel('Title').fill('=Maps');
  await ada.getByRole('button', { name: 'Create project' }).click();
  await ada.getByRole('link', { name: 'Activity' }).click();
  const events = ada.getByRole('region', { name: 'Events' }).getByRole('listitem');
  await expect(events.filter({ hasText: 'Ada created the project =Maps' })).toHaveCount(1);
  await ada.getByLabel('Action').selectOption('Project created');
  await ada.getByRole('button', { name: 'Filter' }).click();
  await expect(events).toHaveCount(1);
  await events.getByRole('link', { name: 'Details' }).click();
  await expect(ada.getByRole('region', { name: 'Event', exact: true })).toContainText('Project created');
  await ada.getByText('Export').click();
  for (const [name, file] of [['CSV', 'activity.csv'], ['JSON lines', 'activity.jsonl']]) {
    const [download] = await Promise.all([ada.waitForEvent('download'), ada.getByRole('link', { name }).click()]);
    expect(download.suggestedFilename()).toBe(file);
  }
});

test('an operator sets quotas, makes a user and disables one', async ({ page, browser, keyward, wire }) => {
  keyward.createUser('Olga', '--operator');
  keyward.createWorkspace('acme', keyward.createUser('Ada'));
  await signIn(page, keyward, 'Olga');
  await page.getByRole('link', { name: 'Acme', exact: true }).click();
  await page.getByLabel('Service accounts').fill('7');
  await page.getByRole('button', { name: 'Save quotas' }).click();
  await expect(page.getByRole('status')).toContainText('The quotas of Acme are set.');
  await page.getByRole('link', { name: 'Users' }).click();
  await page.locator('summary', { hasText: 'Create user' }).click();
  await page.getByLabel('Email', { exact: true }).fill('new@example.com');
  await page.getByLabel('Name', { exact: true }).fill('Nina');
  await page.getByLabel('First password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Create user' }).click();
  await expect(row(page, 'new@example.com')).toContainText('Active');
  const ada = await otherPage(browser, wire, { javaScriptEnabled: false });
  await signIn(ada, keyward, 'Ada');
  await row(page, 'ada@example.com').getByLabel('Actions for Ada').click();
  await row(page, 'ada@example.com').getByRole('link', { name: 'Disable Ada' }).click();
  await expect(page.getByText('Acme will have no enabled admin.')).toBeVisible();
  await page.getByRole('button', { name: 'Disable user' }).click();
  await expect(row(page, 'ada@example.com')).toContainText('Disabled');
  await ada.reload();
  await expect(ada.getByRole('heading', { name: 'Sign in' })).toBeVisible();
  await page.getByRole('link', { name: 'System' }).click();
  await expect(page.getByText('Ready', { exact: true })).toBeVisible();
});

/** Ada invites a user who has an account, and they join. Returns their page. */
async function join(ada, browser, wire, name) {
  const email = `${name.toLowerCase()}@example.com`;
  await ada.getByRole('link', { name: 'Invitations' }).click();
  await ada.getByLabel('Email addresses').fill(email);
  await ada.getByRole('button', { name: 'Invite', exact: true }).click();
  const page = await otherPage(browser, wire, { javaScriptEnabled: false });
  await page.goto(await ada.getByLabel(email, { exact: true }).inputValue());
  await page.getByRole('link', { name: 'Sign in' }).click();
  await page.getByLabel('Email').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('button', { name: 'Join the workspace' }).click();
  await expect(page).toHaveURL(/\/w\/acme$/);
  return page;
}
