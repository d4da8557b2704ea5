// What people come for, click for click, in Chromium, Firefox and WebKit: on `keyward demo`, and on a new `keyward serve`.

import { chmodSync, writeFileSync } from 'node:fs';
import { BROWSERS, Browser } from '../support/browsers.js';
import { Keyward, PASSWORD, run } from '../support/keyward.js';
import { expect, test } from '@playwright/test';

// A browser takes a while to start, on a machine where others do.
test.setTimeout(240_000);

const PRIVATE_KEY_END = '-----END OPENSSH PRIVATE KEY-----\n';

/** The reader of `keyward demo`, who signs in with what it printed. */
async function enterDemo(browser, keyward) {
  const [, email, password] = keyward.output.match(/sign in as (\S+) with the password (\S+)/);
  await browser.open(keyward.url);
  await browser.type('input[name=email]', email);
  await browser.type('input[name=password]', password);
  await browser.click('main form button');
  return { email, domain: 'demo.sa.keyward.local' };
}

/** The first user of a new installation, who opens the printed link, and makes a workspace. */
async function enterNew(browser, keyward) {
  await browser.open(keyward.setUpLink);
  await browser.type('input[name=email]', 'olga@example.com');
  await browser.type('input[name=name]', 'Olga');
  await browser.type('input[name=password]', PASSWORD);
  await browser.click('main form button');
  await browser.see('input[name=slug]');
  await browser.type('input[name=name]', 'Harbour Survey');
  await browser.clickText('button', 'Create workspace');
  // The workspace is created, and its creator is its first admin.
  await browser.seeText('h1', 'Welcome to Harbour Survey');
  return { email: 'olga@example.com', domain: 'harbour-survey.sa.keyward.local' };
}

async function takeKey(browser, keyward, name) {
  const path = keyward.file(name);
  await browser.takeDownload(name, PRIVATE_KEY_END, path);
  chmodSync(path, 0o600);
  return { path, fingerprint: run('ssh-keygen', ['-l', '-f', path]).split(' ')[1] };
}

async function keyOfServiceAccount(browser, keyward, { domain }) {
  await browser.go('nav a', 'Service accounts');
  await browser.clickText('.head a', 'Create service account');
  await browser.type('#display_name', 'Nightly Export');
  await browser.type('#description', 'Exports the labels each night.');
  await browser.clickText('main footer button', 'Create service account');
  await browser.seeText('[role=status]', 'Nightly Export was created.');
  // It is opened from the list, as later.
  await browser.go('nav a', 'Service accounts');
  await browser.clickText('tbody th a', 'Nightly Export');
  await browser.seeText('#address', `nightly-export@${domain}`);
  await browser.clickText('.head a', 'New API key');
  await browser.type('#generate-title', 'Build machine');
  await browser.click('#generate-button');
  await browser.see('#generate-save');
  await browser.click('#generate-add');
  await browser.see('#added');
  const key = await takeKey(browser, keyward, 'Build-machine.txt');
  expect(keyward.whoami(key.path)).toContain(`nightly-export@${domain}`);

  await browser.go('nav a', 'Service accounts');
  const row = `//tr[.//a[normalize-space()='Nightly Export']]`;
  // The whole row leads to it.
  await browser.clickXpath(`${row}/td[@data-label='Status']`);
  await browser.seeText('#address', `nightly-export@${domain}`);
  await browser.go('nav a', 'Service accounts');
  await browser.choose(`${row}//select`, 'Admin');
  await browser.clickXpath(`${row}//button[starts-with(normalize-space(), 'Apply')]`);
  // An admin is made on a page that says what it can do.
  await browser.clickText('main footer button', 'Make admin');
  await browser.seeText('[role=status]', 'Nightly Export is an admin now.');
  expect(await browser.chosen(`${row}//select`)).toBe('admin');
}

async function keysOfUser(browser, keyward, { email }) {
  await browser.click('summary[aria-label="Your account"]');
  await browser.go('.drop a', 'Profile settings');
  await browser.go('nav a', 'API keys');
  await browser.clickText('.head a', 'New Key');
  await browser.type('#generate-title', 'Laptop');
  await browser.click('#generate-button');
  await browser.see('#generate-save');
  const generated = await takeKey(browser, keyward, 'Laptop.txt');
  await browser.click('#generate-add');
  await browser.see('#added');
  expect(keyward.whoami(generated.path)).toContain(email);

  await browser.go('nav a', 'API keys');
  await browser.clickText('.head a', 'New Key');
  await browser.click('label[for=way-paste]');
  const line = keyward.sshKeygen('workstation');
  expect(await browser.find('#paste-create').isEnabled(), 'both fields are empty').toBe(false);
  await browser.type('#title', 'Workstation');
  expect(await browser.find('#paste-create').isEnabled(), 'one field is empty').toBe(false);
  await browser.type('#public_key', line);
  await browser.click('#paste-create');
  await browser.seeText('[role=status]', 'Key Workstation was added.');
  expect(keyward.whoami(keyward.file('workstation'))).toContain(email);

  await browser.go('nav a', 'API keys');
  const pasted = run('ssh-keygen', ['-l', '-f', keyward.file('workstation')]).split(' ')[1];
  for (const [title, fingerprint] of [['Laptop', generated.fingerprint], ['Workstation', pasted]]) {
    await browser.clickText('tbody th a', title);
    await browser.seeText('main', fingerprint);
    await browser.go('nav a', 'API keys');
  }
}

for (const engine of BROWSERS) {
  for (const [name, command, enter] of [['keyward demo', 'demo', enterDemo], ['a new keyward serve', 'serve', enterNew]]) {
    test(`${engine}: a service account and a user get keys on ${name}`, async ({}, testInfo) => {
      const keyward = await Keyward.start('', command);
      const browser = await Browser.open(engine);
      try {
        const person = await enter(browser, keyward);
        await keyOfServiceAccount(browser, keyward, person);
        await keysOfUser(browser, keyward, person);
      } catch (error) {
        writeFileSync(testInfo.outputPath('page.png'), await browser.page.takeScreenshot(), 'base64');
        throw error;
      } finally {
        await browser.close();
        await keyward.stop();
      }
    });
  }
}
