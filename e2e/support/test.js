// What the tests start from: a server of their own, a browser whose every byte is seen, and people who sign in.

import { chmodSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import AxeBuilder from '@axe-core/playwright';
import { test as base, expect } from '@playwright/test';
import { PrivateExport } from 'micro-key-producer/ssh.js';
import { Keyward, PASSWORD } from './keyward.js';
import { Wire } from './wire.js';

export { expect, PASSWORD };

export const test = base.extend({
  /** The text of the server's keyward.toml. */
  settings: ['', { option: true }],

  keyward: async ({ settings }, use) => {
    const keyward = await Keyward.start(settings);
    await use(keyward);
    await keyward.stop();
  },

  wire: async ({}, use) => {
    const wire = await Wire.open();
    await use(wire);
    await wire.close();
  },

  proxy: async ({ wire }, use) => use({ server: wire.url }),

  /** A page on the server, on which no script fails and from which nothing goes elsewhere. */
  page: async ({ page, keyward, wire }, use) => {
    const faults = [];
    page.on('pageerror', (error) => faults.push(String(error)));
    page.on('console', (message) => {
      // A refusal is an answer like any other, and an insecure page is one on purpose.
      const isExpected = /^Failed to load resource|^The Cross-Origin-Opener-Policy header has been ignored/.test(message.text());
      if (message.type() === 'error' && !isExpected) faults.push(message.text());
    });
    await use(page);
    expect(faults, 'what went wrong in scripts').toEqual([]);
    expect(wire.strangers(keyward.url), 'requests that went elsewhere').toEqual([]);
  },

  /** A page on which Ada is signed in, the admin of the workspace `acme`. */
  ada: async ({ page, keyward }, use) => {
    keyward.createWorkspace('acme', keyward.createUser('Ada'));
    await signIn(page, keyward, 'Ada');
    await use(page);
  },
});

export async function signIn(page, keyward, name, password = PASSWORD) {
  await page.goto(`${keyward.url}/sign-in`);
  await page.getByLabel('Email').fill(`${name.toLowerCase()}@example.com`);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.locator('summary[aria-label="Your account"]')).toBeVisible();
}

/** Another user's browser. The test sees its bytes too. */
export async function otherPage(browser, wire, options = {}) {
  const context = await browser.newContext({ proxy: { server: wire.url }, ...options });
  return context.newPage();
}

/** Does what starts a download, and takes the private key that comes of it. */
export async function takePrivateKey(page, keyward, action) {
  const [download] = await Promise.all([page.waitForEvent('download'), action()]);
  const name = download.suggestedFilename();
  const path = keyward.file(basename(name));
  await download.saveAs(path);
  // What the page tells to do next; programs refuse a key that others may read.
  chmodSync(path, 0o600);
  const text = readFileSync(path, 'utf8');
  const [{ privKey }] = PrivateExport.decode(text).keys;
  const { check1: check, comment, privKey: both } = privKey;
  return { name, path, text, comment, check, seed: Buffer.from(both.slice(0, 32)), whole: Buffer.from(both) };
}

/** What axe finds on a page, wide in the light and narrow in the dark: colours do not depend on widths. */
export async function findAxeViolations(page) {
  const before = page.viewportSize();
  const found = [];
  for (const [colorScheme, width] of [['light', 1280], ['dark', 390]]) {
    await page.setViewportSize({ width, height: 800 });
    // Without motion, or axe would meet colours half way between the two.
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    // There are no frames, so the one page is all that has to be looked at.
    const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze();
    for (const { id, help, nodes } of violations) {
      found.push(`${colorScheme} ${page.url()}: ${id}: ${help}: ${nodes.map((node) => node.html).join(' ')}`);
    }
  }
  await page.setViewportSize(before);
  return found;
}

/** The widths at which a page has to be scrolled sideways, however long what people wrote on it is. */
export async function findOverflow(page, name) {
  const before = page.viewportSize();
  const found = [];
  for (const width of [320, 390, 768, 1024]) {
    await page.setViewportSize({ width, height: 800 });
    const wanted = await page.evaluate(() => document.documentElement.scrollWidth);
    if (wanted > width) found.push(`${name} is ${wanted} wide at ${width}`);
  }
  await page.setViewportSize(before);
  return found;
}
