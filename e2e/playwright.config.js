import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { defineConfig } from '@playwright/test';

/** Debian's browser, or one that stands in for it. */
function findChromium() {
  const folders = (process.env.PATH ?? '').split(delimiter);
  for (const path of ['chromium', 'chromium-browser', 'google-chrome'].flatMap((name) => folders.map((folder) => join(folder, name)))) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  throw new Error('There is no chromium: run scripts/setup, or `apt-get install chromium`.');
}

// What a browser asks its makers by itself, and HTTPS where there is none. Replaces Playwright's own list.
const DISABLED = ['AutofillServerCommunication', 'DialMediaRouteProvider', 'HttpsUpgrades', 'MediaRouter', 'OptimizationHints', 'Translate'];

export default defineConfig({
  fullyParallel: true,
  workers: 2,
  retries: 0,
  forbidOnly: true,
  reporter: 'list',
  timeout: 90_000,
  outputDir: '../target/e2e',
  use: {
    launchOptions: { executablePath: findChromium(), args: [`--disable-features=${DISABLED.join()}`] },
    viewport: { width: 1280, height: 800 },
    screenshot: 'only-on-failure',
  },
  projects: [
    { name: 'pages', testDir: 'tests' },
    { name: 'screenshots', testDir: 'screenshots' },
  ],
});
