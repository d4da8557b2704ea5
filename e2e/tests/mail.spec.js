// Invitations by mail, through a real SMTP server.

import { expect, otherPage, PASSWORD, test as base } from '../support/test.js';
import { MailServer } from '../support/mail.js';

const test = base.extend({
  mail: async ({}, use) => {
    const mail = await MailServer.start();
    await use(mail);
    mail.stop();
  },

  settings: async ({ mail }, use) => {
    await use(`[smtp]\nurl = "smtp://127.0.0.1:${mail.port}"\nfrom = "Keyward <keyward@example.com>"\n`);
  },
});

test.use({ javaScriptEnabled: false });

test('people are invited by mail, and the link in it leads in', async ({ ada, browser, keyward, mail, wire }) => {
  await ada.getByRole('link', { name: 'Invitations' }).click();
  await ada.getByLabel('Email addresses').fill('bob@example.com, refused@example.com');
  await ada.getByRole('button', { name: 'Invite', exact: true }).click();
  await expect(ada.getByText('The mail server did not accept every mail.')).toBeVisible();
  await expect(ada.getByLabel('bob@example.com', { exact: true })).toHaveCount(0);
  await expect(ada.getByLabel('refused@example.com', { exact: true })).toHaveCount(1);
  const { to, subject, text } = await mail.mail();
  expect([to, subject]).toEqual([['bob@example.com'], 'Join Acme on Keyward']);

  const link = text.match(/\S+\/invitations\/\S+/)[0];
  // The link is the public address of the installation; here the server has any free port.
  const bob = await otherPage(browser, wire, { javaScriptEnabled: false });
  await bob.goto(keyward.url + new URL(link).pathname);
  await bob.getByLabel('Your name').fill('Bob');
  await bob.getByLabel('Password').fill(PASSWORD);
  await bob.getByRole('button', { name: 'Join the workspace' }).click();
  await expect(bob.getByRole('status')).toContainText('You have joined');

  // What the mail server did not take is sent once more, later.
  await ada.getByLabel('Actions for refused@example.com').click();
  await ada.getByRole('button', { name: 'Send again' }).click();
  await expect(ada.getByText('No mail was sent.')).toBeVisible();
  await ada.getByLabel('Email addresses').fill('carol@example.com');
  await ada.getByRole('button', { name: 'Invite', exact: true }).click();
  await expect(ada.getByRole('heading', { name: 'The invitation was sent by mail' })).toBeVisible();
  expect((await mail.mail()).to).toEqual(['carol@example.com']);
});
