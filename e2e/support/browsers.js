// The browsers of Debian, driven by their makers' drivers: what is downloaded comes to a folder as it does for people.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import webdriver from 'selenium-webdriver';
import { findFreePort } from 'selenium-webdriver/net/portprober.js';
import remote from 'selenium-webdriver/remote/index.js';

const TOOLS = fileURLToPath(new URL('../../.tools/bin', import.meta.url));

function findProgram(name, ...folders) {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), ...folders]) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  throw new Error(`There is no ${name}: run scripts/setup.`);
}

/** Debian's WebKitGTK keeps it outside the PATH, by architecture and version. */
function findMiniBrowser() {
  const list = (folder, pattern) => readdirSync(folder).filter((name) => pattern.test(name)).map((name) => join(folder, name));
  const folders = list('/usr/lib', /-linux-gnu$/).flatMap((folder) => list(folder, /^webkit2?gtk-/));
  return findProgram('MiniBrowser', ...folders);
}

const ENGINES = {
  Chromium: (downloads) => ({
    driver: findProgram('chromedriver'),
    capabilities: {
      browserName: 'chrome',
      'goog:chromeOptions': {
        binary: findProgram('chromium'),
        // Without a sandbox, which containers do not allow.
        args: ['--headless=new', '--no-sandbox', '--disable-dev-shm-usage'],
        prefs: { 'download.default_directory': downloads },
      },
    },
  }),
  Firefox: (downloads) => ({
    driver: findProgram('geckodriver', TOOLS),
    capabilities: {
      browserName: 'firefox',
      'moz:firefoxOptions': {
        binary: findProgram('firefox-esr'),
        args: ['-headless'],
        prefs: { 'browser.download.folderList': 2, 'browser.download.dir': downloads },
      },
    },
  }),
  WebKit: () => ({
    driver: findProgram('WebKitWebDriver'),
    // It has no mode without a screen.
    needsScreen: true,
    capabilities: {
      browserName: 'MiniBrowser',
      'webkitgtk:browserOptions': { binary: findMiniBrowser(), args: ['--automation'] },
    },
  }),
};

export const BROWSERS = Object.keys(ENGINES);

/** A screen that nobody sees, on a number that it chooses. */
class Screen {
  static async open() {
    const screen = new Screen();
    screen.process = spawn(findProgram('Xvfb'), ['-displayfd', '3', '-screen', '0', '1280x1024x24', '-nolisten', 'tcp'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    const [number] = await Promise.race([
      once(createInterface({ input: screen.process.stdio[3] }), 'line'),
      once(screen.process, 'exit').then(([code]) => { throw new Error(`Xvfb ended with ${code}`); }),
    ]);
    screen.name = `:${number}`;
    return screen;
  }

  async close() {
    const ended = once(this.process, 'exit');
    this.process.kill();
    await ended;
  }
}

/** A browser with a home of its own, in which nothing was done before. */
export class Browser {
  static async open(name) {
    const browser = new Browser();
    browser.home = mkdtempSync(join(tmpdir(), 'keyward-browser-'));
    browser.downloads = join(browser.home, 'Downloads');
    mkdirSync(browser.downloads);
    try {
      await browser.start(ENGINES[name](browser.downloads));
    } catch (error) {
      await browser.close();
      throw error;
    }
    return browser;
  }

  async start({ driver, capabilities, needsScreen }) {
    // Where GTK looks for the download folder.
    const config = join(this.home, '.config');
    mkdirSync(config);
    writeFileSync(join(config, 'user-dirs.dirs'), 'XDG_DOWNLOAD_DIR="$HOME/Downloads"\n');
    const environment = { PATH: process.env.PATH, HOME: this.home, XDG_CONFIG_HOME: config, LANG: 'C.UTF-8' };
    if (needsScreen) {
      this.screen = await Screen.open();
      environment.DISPLAY = this.screen.name;
    }
    this.service = new remote.DriverService.Builder(driver)
      .setLoopback(true)
      .setPort(await findFreePort())
      .setEnvironment(environment)
      .build();
    this.page = await new webdriver.Builder().usingServer(await this.service.start()).withCapabilities(capabilities).build();
    await this.page.manage().window().setRect({ width: 1280, height: 960 });
  }

  async close() {
    try {
      await this.page?.quit();
    } finally {
      await this.service?.kill();
      await this.screen?.close();
      // A browser may write a last file after its driver has said that it ended.
      rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
    }
  }

  /** The names of what is in the download folder, part of a file included. */
  listDownloads() {
    return readdirSync(this.downloads);
  }

  /** The file, once it has come whole to the download folder and nothing beside it, moved from there to `to`. */
  async takeDownload(name, end, to) {
    const path = join(this.downloads, name);
    const isWhole = () => this.listDownloads().join() === name && readFileSync(path, 'utf8').endsWith(end);
    await this.page.wait(isWhole, 30_000, `${name} did not come to the download folder`);
    renameSync(path, to);
  }

  async open(url) {
    await this.page.get(url);
  }

  find(selector) {
    return this.page.findElement(webdriver.By.css(selector));
  }

  /** The element, once people see it. */
  async see(selector) {
    const element = await this.page.wait(webdriver.until.elementLocated(webdriver.By.css(selector)), 20_000);
    return this.page.wait(webdriver.until.elementIsVisible(element), 20_000);
  }

  /** The first element that people see, and whose text contains that one. */
  async seeText(selector, text) {
    const shown = async () => {
      try {
        for (const element of await this.page.findElements(webdriver.By.css(selector))) {
          if ((await element.getProperty('textContent')).includes(text) && await element.isDisplayed()) return element;
        }
      } catch (error) {
        // The page changed meanwhile. WebKit says so of a frame.
        const { StaleElementReferenceError, NoSuchFrameError } = webdriver.error;
        if (!(error instanceof StaleElementReferenceError || error instanceof NoSuchFrameError)) throw error;
      }
      return null;
    };
    return this.page.wait(shown, 20_000, `there is no ${selector} with the text: ${text}`);
  }

  /** Chooses an option of a select by its text. */
  async choose(xpath, text) {
    await this.page.findElement(webdriver.By.xpath(`${xpath}/option[normalize-space()='${text}']`)).click();
  }

  /** The value that is chosen in a select. */
  async chosen(xpath) {
    return this.page.findElement(webdriver.By.xpath(xpath)).getProperty('value');
  }

  /**
   * Clicks in the middle of the window. MiniBrowser shows each download below the page, which shortens it: an element near its end
   * would leave it between the moment its place is known and the click.
   */
  async click(selector) {
    await this.clickElement(await this.see(selector));
  }

  /** Clicks what has that text, among what the selector finds. */
  async clickText(selector, text) {
    await this.clickElement(await this.seeText(selector, text));
  }

  /** Clicks a link to the page whose title is its text, and waits for that page. */
  async go(selector, text) {
    await this.clickText(selector, text);
    await this.seeText('h1', text);
  }

  async clickXpath(xpath) {
    await this.clickElement(await this.page.wait(webdriver.until.elementLocated(webdriver.By.xpath(xpath)), 20_000));
  }

  async clickElement(element) {
    // What loads late may move it.
    const isStill = () => this.page.executeScript("return document.readyState === 'complete' && document.fonts.status === 'loaded'");
    await this.page.wait(isStill, 20_000, 'the page does not come to its end');
    await this.page.executeScript("arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })", element);
    await element.click();
  }

  async type(selector, text) {
    await (await this.see(selector)).sendKeys(text);
  }

  async value(selector) {
    return this.find(selector).getProperty('value');
  }

  /** What the clipboard holds, through a field that it is pasted into. */
  async paste(selector) {
    const field = await this.see(selector);
    await field.clear();
    await field.sendKeys(webdriver.Key.chord(webdriver.Key.CONTROL, 'v'));
    return field.getProperty('value');
  }
}
