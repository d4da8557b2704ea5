// Chromium, Firefox and WebKit: the private key that a page generates comes to the download folder, and is the one that was added.

import { chmodSync, readFileSync } from 'node:fs';
import { BROWSERS, Browser } from '../support/browsers.js';
import { PASSWORD, run } from '../support/keyward.js';
import { expect, test as base } from '../support/test.js';

/** The private key that has come to the download folder under that name, moved to where the server's files are. */
async function takePrivateKey(browser, keyward, name, to = name) {
  const path = keyward.file(to);
  await browser.takeDownload(name, '-----END OPENSSH PRIVATE KEY-----\n', path);
  // What the page tells to do next.
  chmodSync(path, 0o600);
  return { path, text: readFileSync(path, 'utf8') };
}

/** Generates a pair; the public key that the page shows. */
async function generate(browser, title) {
  await browser.type('#generate-title', title);
  await browser.click('#generate-button');
  await browser.see('#generate-save');
  return browser.value('#generate-key');
}

/** What the clipboard holds, through the field for a public key. The tab with the key pair is shown again. */
async function pasteOnOtherTab(browser) {
  await browser.click('label[for=way-paste]');
  const text = await browser.paste('#public_key');
  await browser.find('#public_key').clear();
  await browser.click('label[for=way-generate]');
  return text;
}

/** Whether the page wants the browser to ask before it is left. Drivers answer that question before a test sees it. */
const asksBeforeLeaving = (browser) =>
  browser.page.executeScript("return !dispatchEvent(new Event('beforeunload', { cancelable: true }))");

const test = base.extend({
  engine: ['', { option: true }],

  /** A browser in which Ada is signed in, the admin of the workspace `acme`. */
  ada: async ({ engine, keyward }, use) => {
    keyward.createWorkspace('acme', keyward.createUser('Ada'));
    const ada = await Browser.open(engine);
    try {
      await ada.open(`${keyward.url}/sign-in`);
      await ada.type('input[name=email]', 'ada@example.com');
      await ada.type('input[name=password]', PASSWORD);
      await ada.click('main form button');
      await ada.see('summary[aria-label="Your account"]');
      await use(ada);
    } finally {
      await ada.close();
    }
  },
});

// A browser takes a while to start, on a machine where others do.
test.setTimeout(180_000);

for (const name of BROWSERS) {
  test.describe(name, () => {
    test.use({ engine: name });

    test('a key of one\'s own is in the download folder before it is added', async ({ ada, keyward }) => {
      await ada.open(`${keyward.url}/profile/api-keys/new`);
      await ada.page.executeScript("addEventListener('beforeunload', () => { document.body.dataset.asked = 'yes'; })");
      const line = await generate(ada, 'Laptop');
      const file = await takePrivateKey(ada, keyward, 'Laptop.txt');
      expect(run('ssh-keygen', ['-y', '-f', file.path]).trim()).toBe(line);
      await ada.click('#generate-download');
      expect((await takePrivateKey(ada, keyward, 'Laptop.txt', 'again')).text).toBe(file.text);
      await ada.click('#generate-copy');
      await ada.see('#generate-copied:not(:empty)');
      expect(await pasteOnOtherTab(ada)).toBe(file.text);
      // Neither a download nor the clipboard leaves the page, and nothing was added so far.
      expect(await ada.page.executeScript('return document.body.dataset.asked')).toBeNull();
      expect(await asksBeforeLeaving(ada)).toBe(true);
      expect(() => keyward.whoami(file.path)).toThrow();

      await ada.click('#generate-add');
      await ada.see('#added');
      expect(await asksBeforeLeaving(ada)).toBe(false);
      const fingerprint = run('ssh-keygen', ['-l', '-f', file.path]).split(' ')[1];
      expect(await (await ada.see('#added-fingerprint')).getText()).toBe(fingerprint);
      expect(keyward.whoami(file.path)).toContain('ada@example.com');
      await ada.click('#added-download');
      expect((await takePrivateKey(ada, keyward, 'Laptop.txt', 'later')).text).toBe(file.text);
      await ada.click('#added-test');
      await ada.see('#added-test-result');
      await expect.poll(() => ada.find('#added-test-result').getText()).toContain('Accepted. The key authenticates ada@example.com.');
    });

    test('a service account\'s key is in the download folder once it is added', async ({ ada, keyward }) => {
      keyward.createServiceAccount('acme', 'bot');
      await ada.open(`${keyward.url}/w/acme/service-accounts`);
      await ada.click('tbody th a');
      await ada.click('.head a[href$="/keys/new"]');
      await generate(ada, 'Before the page was loaded again');
      await ada.page.navigate().refresh();
      await ada.see('#generate-title');
      // Whatever the browser filled in, the private key is gone.
      expect(await ada.value('#generate-key')).toBe('');
      expect(await ada.find('#generate-add').isEnabled()).toBe(false);
      await ada.find('#generate-title').clear();
      const line = await generate(ada, 'Build machine, Berlin');
      await ada.click('#generate-copy');
      await ada.see('#generate-copied:not(:empty)');
      const copied = await pasteOnOtherTab(ada);
      expect(ada.listDownloads()).toEqual([]);
      await ada.click('#generate-add');
      await ada.see('#added');
      const file = await takePrivateKey(ada, keyward, 'Build-machine-Berlin.txt');
      expect(file.text).toBe(copied);
      expect(run('ssh-keygen', ['-y', '-f', file.path]).trim()).toBe(line);
      expect(keyward.whoami(file.path)).toContain('bot@acme.sa.keyward.local');
      await ada.click('#added-copy');
      await ada.see('#added-copied:not(:empty)');
      await ada.click('#added-download');
      expect((await takePrivateKey(ada, keyward, 'Build-machine-Berlin.txt', 'again')).text).toBe(file.text);
    });
  });
}
