// The first start, signing in and out, and the password.

import { expect, otherPage, PASSWORD, signIn, test } from '../support/test.js';

test('the printed set-up link makes its user the operator, once', async ({ page, keyward }) => {
  await page.goto(keyward.setUpLink);
  await page.getByLabel('Email').fill('olga@example.com');
  await page.getByLabel('Name').fill('Olga');
  await page.getByLabel('Password').fill('password1234');
  await page.getByRole('button', { name: 'Create the operator' }).click();
  await expect(page.locator('#password-wrong')).toContainText('This password is common');
  await expect(page.getByLabel('Email')).toHaveValue('olga@example.com');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Create the operator' }).click();
  await expect(page.getByRole('heading', { name: 'Create workspace', exact: true })).toBeVisible();

  await page.getByLabel('Name', { exact: true }).fill('Acme Maps');
  await page.getByLabel('Slug').fill('acme');
  await page.getByLabel('First admin').fill('olga@example.com');
  await page.getByRole('button', { name: 'Create workspace' }).click();
  // Its first admin continues in the workspace.
  await expect(page.getByRole('heading', { name: 'Welcome to Acme Maps' })).toBeVisible();
  await page.goto(keyward.setUpLink);
  await expect(page.getByText('This link was used or has expired.')).toBeVisible();
});

test('a person signs in where they wanted to go, and out again', async ({ page, keyward }) => {
  keyward.createWorkspace('acme', keyward.createUser('Ada'));
  await page.goto(`${keyward.url}/w/acme/members`);
  await page.getByLabel('Email').fill('ada@example.com');
  await page.getByLabel('Password').fill('not the password');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('alert')).toContainText('The email address or password is wrong.');
  await expect(page.getByLabel('Email')).toHaveValue('ada@example.com');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page).toHaveURL(`${keyward.url}/w/acme/members`);
  await page.locator('summary[aria-label="Your account"]').click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect(page.getByText('You are signed out.')).toBeVisible();
  await page.goBack();
  await page.reload();
  await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible();
});

test('another password ends the sessions elsewhere', async ({ ada, browser, keyward, wire }) => {
  const elsewhere = await otherPage(browser, wire);
  await signIn(elsewhere, keyward, 'Ada');
  await ada.goto(`${keyward.url}/profile`);
  await expect(ada.getByRole('table', { name: 'Sessions' }).getByRole('row')).toHaveCount(3);
  await ada.getByLabel('Current password').fill(PASSWORD);
  await ada.getByLabel('New password').fill('seven violet tractors hum');
  await ada.getByRole('button', { name: 'Change password' }).click();
  await expect(ada.getByRole('status')).toContainText('All your other sessions have ended.');
  await expect(ada.getByRole('table', { name: 'Sessions' }).getByRole('row')).toHaveCount(2);
  await elsewhere.reload();
  await expect(elsewhere.getByRole('heading', { name: 'Sign in' })).toBeVisible();
  await signIn(elsewhere, keyward, 'Ada', 'seven violet tractors hum');
});

test('a session elsewhere is ended from the profile', async ({ ada, browser, keyward, wire }) => {
  const elsewhere = await otherPage(browser, wire, { userAgent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Mobile/15E148 Safari/604.1' });
  await signIn(elsewhere, keyward, 'Ada');
  await ada.goto(`${keyward.url}/profile`);
  await ada.getByRole('row').filter({ hasText: 'Safari on iPhone' }).getByRole('link', { name: 'End session' }).click();
  await ada.getByRole('button', { name: 'End session' }).click();
  await expect(ada.getByRole('status')).toContainText('The session of Safari on iPhone has ended.');
  await elsewhere.reload();
  await expect(elsewhere.getByRole('heading', { name: 'Sign in' })).toBeVisible();
});
