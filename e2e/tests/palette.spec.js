// The search over every page: with the keyboard, for screen readers, without a script, and in every browser.

import webdriver from 'selenium-webdriver';
import { BROWSERS, Browser } from '../support/browsers.js';
import { PASSWORD } from '../support/keyward.js';
import { expect, findAxeViolations, findOverflow, otherPage, signIn, test } from '../support/test.js';

/** Keys, an account and a project that have a word in common. */
function furnish(keyward) {
  const account = keyward.createServiceAccount('acme', 'harbor-bot');
  keyward.addKey(['--service-account', account], 'Harbor runner');
  keyward.addKey(['--user', 'ada@example.com'], 'Harbor laptop');
}

const field = (page) => page.getByRole('combobox', { name: 'Search' });
const options = (page) => page.getByRole('listbox', { name: 'Results' }).getByRole('option');

test('a key is found and opened without a mouse', async ({ ada, keyward }) => {
  furnish(keyward);
  await ada.goto(`${keyward.url}/w/acme/members`);
  await ada.keyboard.press('/');
  await expect(field(ada)).toBeFocused();
  await expect(field(ada)).toHaveValue('');
  // Before anything is typed, the pages are there.
  await expect(options(ada).first()).toContainText('Overview');
  await ada.keyboard.type('harbor');
  await expect(ada.getByRole('group', { name: 'Keys of service accounts' }).getByRole('option')).toHaveText([/^Harbor runner/]);
  await expect(options(ada)).toHaveCount(3);
  await expect(ada.getByRole('status')).toHaveText('3 results');
  const marked = () => field(ada).evaluate((input) => document.getElementById(input.getAttribute('aria-activedescendant')).textContent);
  expect(await marked()).toContain('harbor-bot');
  await ada.keyboard.press('ArrowDown');
  expect(await marked()).toContain('Harbor runner');
  await ada.keyboard.press('ArrowUp');
  await ada.keyboard.press('ArrowUp');
  expect(await marked()).toContain('Harbor laptop');
  await expect(options(ada).and(ada.getByRole('option', { selected: true }))).toHaveText(/^Harbor laptop/);
  await ada.keyboard.press('Enter');
  await expect(ada.getByRole('heading', { name: 'Harbor laptop' })).toBeVisible();
});

test('who presses Enter before the results are there goes to the first one', async ({ ada, keyward }) => {
  furnish(keyward);
  await ada.goto(`${keyward.url}/w/acme`);
  await ada.keyboard.press('Control+k');
  await ada.keyboard.type('harbor run');
  await ada.keyboard.press('Enter');
  await expect(ada.getByRole('heading', { name: 'Harbor runner' })).toBeVisible();
});

test('the focus returns, and a key that writes opens nothing', async ({ ada, keyward }) => {
  await ada.goto(`${keyward.url}/w/acme/members`);
  const find = ada.getByRole('searchbox', { name: 'Find a member by name or email' });
  await find.focus();
  await ada.keyboard.type('a/b');
  await expect(find).toHaveValue('a/b');
  await expect(field(ada)).toBeHidden();
  const link = ada.getByRole('link', { name: 'Search', exact: true });
  await link.focus();
  await ada.keyboard.press('Enter');
  await expect(field(ada)).toBeFocused();
  await ada.keyboard.type('harborless zeppelin');
  await expect(ada.getByRole('status')).toContainText('No results.');
  await expect(field(ada)).toHaveAttribute('aria-expanded', 'false');
  await ada.keyboard.press('Escape');
  await expect(field(ada)).toBeHidden();
  await expect(link).toBeFocused();
  // Outside of fields the key opens it, unless it is turned off: assistive technology may write single letters.
  await link.blur();
  await ada.keyboard.press('/');
  await ada.getByLabel('Open with /').uncheck();
  await ada.keyboard.press('Escape');
  await expect(field(ada)).toBeHidden();
  await ada.goto(`${keyward.url}/w/acme`);
  await ada.keyboard.press('/');
  await expect(field(ada)).toBeHidden();
  await ada.keyboard.press('Control+k');
  await expect(ada.getByLabel('Open with /')).not.toBeChecked();
});

test('a private key in the field is not sent', async ({ ada, keyward, wire }) => {
  await ada.goto(`${keyward.url}/w/acme`);
  await ada.keyboard.press('Control+k');
  await expect(options(ada).first()).toBeVisible();
  const secret = 'b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ';
  await field(ada).fill(`-----BEGIN OPENSSH PRIVATE KEY----- ${secret}`);
  await expect(ada.getByRole('status')).toHaveText('This looks like a private key. It was not sent.');
  expect(wire.find(Buffer.from(secret))).toEqual([]);
  // The server refuses what is a secret for it alone.
  await field(ada).fill('kwt_AbCdEf0123456789AbCdEf0123456789');
  await expect(ada.getByRole('status')).toContainText('contains a bearer token and was not searched for');
});

test('a session that ended says so', async ({ ada, keyward }) => {
  await ada.goto(`${keyward.url}/w/acme`);
  await ada.context().clearCookies();
  await ada.keyboard.press('Control+k');
  await expect(ada.getByRole('status')).toHaveText('Your session has ended. Load the page again to sign in.');
});

test('axe finds nothing in the search, and it fits every width', async ({ ada, keyward }) => {
  furnish(keyward);
  const found = [];
  await ada.goto(`${keyward.url}/w/acme`);
  await ada.keyboard.press('/');
  await expect(options(ada).first()).toBeVisible();
  found.push(...await findAxeViolations(ada), ...await findOverflow(ada, 'the search with pages'));
  await field(ada).fill('harbor');
  await expect(options(ada)).toHaveCount(3);
  found.push(...await findAxeViolations(ada), ...await findOverflow(ada, 'the search with results'));
  await field(ada).fill('harborless zeppelin');
  await expect(ada.getByRole('status')).toContainText('No results.');
  found.push(...await findAxeViolations(ada));
  for (const q of ['', 'harbor', 'harborless zeppelin']) {
    await ada.goto(`${keyward.url}/w/acme/search?q=${q}`);
    found.push(...await findAxeViolations(ada), ...await findOverflow(ada, `the page of “${q}”`));
  }
  expect(found).toEqual([]);
});

test('without a script, the search is a page', async ({ ada, browser, keyward, wire }) => {
  furnish(keyward);
  const plain = await otherPage(browser, wire, { javaScriptEnabled: false });
  await signIn(plain, keyward, 'Ada');
  await plain.goto(`${keyward.url}/w/acme`);
  await plain.getByRole('link', { name: 'Search', exact: true }).click();
  await plain.getByRole('searchbox').fill('harbor');
  await plain.getByRole('button', { name: 'Search' }).click();
  await expect(plain.getByRole('heading', { name: 'Keys of service accounts' })).toBeVisible();
  await plain.getByRole('link', { name: 'Harbor runner' }).click();
  await expect(plain.getByRole('heading', { name: 'Harbor runner' })).toBeVisible();
  await plain.context().close();
});

for (const name of BROWSERS) {
  test(`${name} opens the search with a key, finds a key and closes it`, async ({ keyward }) => {
    // A browser takes a while to start, on a machine where others do.
    test.setTimeout(180_000);
    keyward.createWorkspace('acme', keyward.createUser('Ada'));
    furnish(keyward);
    const ada = await Browser.open(name);
    try {
      const { Key } = webdriver;
      const press = (...keys) => ada.page.switchTo().activeElement().sendKeys(...keys);
      await ada.open(`${keyward.url}/sign-in`);
      await ada.type('input[name=email]', 'ada@example.com');
      await ada.type('input[name=password]', PASSWORD);
      await ada.click('main form button');
      await ada.see('summary[aria-label="Your account"]');
      await ada.open(`${keyward.url}/w/acme/members`);
      await press('/');
      await ada.seeText('.palette [role=option]', 'Members');
      await press(Key.ESCAPE);
      await expect.poll(() => ada.find('.palette').isDisplayed()).toBe(false);
      await press(Key.chord(Key.CONTROL, 'k'));
      await ada.seeText('.palette [role=option]', 'Members');
      await press('harbor run');
      // Elements that a driver was given are gone once other results are there.
      const marked = () => ada.page.executeScript("return document.querySelector('.palette [aria-selected=true]')?.textContent");
      await expect.poll(marked).toContain('Harbor runner');
      await press(Key.ENTER);
      await ada.page.wait(webdriver.until.titleContains('Harbor runner'), 20_000);
    } finally {
      await ada.close();
    }
  });
}
