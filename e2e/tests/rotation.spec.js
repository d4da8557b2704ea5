// Rotation of keys on the pages alone: the form, the try, the overlap, and the undo.

import { readFileSync } from 'node:fs';
import { press, tabTo } from '../support/keyboard.js';
import { expect, findAxeViolations, findOverflow, takePrivateKey, test } from '../support/test.js';

/** Opens the page of the only key of a service account with this title. */
async function openKey(page, keyward, title) {
  await page.goto(`${keyward.url}/w/acme/keys`);
  await page.getByRole('link', { name: title, exact: true }).click();
  await page.getByRole('heading', { name: title, level: 1 }).waitFor();
}

const addKey = (keyward, title, ...more) => keyward.addKey(['--service-account', 'ci-runner@acme.sa.keyward.local', ...more], title);

test('an admin rotates a key, tries the new one, and undoes it', async ({ ada, keyward, wire }) => {
  keyward.createServiceAccount('acme', 'ci-runner');
  const old = addKey(keyward, 'Build machine');
  keyward.whoami(old);
  await openKey(ada, keyward, 'Build machine');
  const oldPage = ada.url();
  await ada.getByRole('link', { name: 'Rotate key' }).click();
  await expect(ada.getByRole('heading', { name: 'Rotate Build machine', level: 1 })).toBeVisible();
  await expect(ada.getByRole('radio', { name: /In 7 days.*UTC/ })).toBeChecked();
  await ada.getByRole('radio', { name: /In 1 day/ }).check();
  const rotate = ada.getByRole('button', { name: 'Rotate key' });
  await expect(rotate).toBeDisabled();
  await ada.getByRole('button', { name: 'Generate key pair' }).click();
  await expect(ada.locator('#generate-key')).toHaveValue(/^ssh-ed25519 /);
  const key = await takePrivateKey(ada, keyward, () => rotate.click());
  expect(key.name).toMatch(/^Build-machine-\d{4}-\d{2}-\d{2}\.txt$/);
  await expect(ada.getByRole('heading', { name: 'The key is rotated' })).toBeFocused();
  await expect(ada.locator('#added-accepted')).toHaveText('Both keys are accepted.');
  await expect(ada.locator('#added-ends')).toContainText(/accepted until .* UTC/);
  expect(wire.find(key.seed)).toEqual([]);

  // The new key is tried here, and from the command line. The old one works on.
  await ada.getByRole('button', { name: 'Test it here' }).click();
  await expect(ada.locator('#added-test-result')).toContainText('Accepted. The key authenticates ci-runner@acme');
  expect(keyward.whoami(key.path)).toContain('ci-runner');
  expect(keyward.whoami(old)).toContain('ci-runner');
  await ada.getByRole('link', { name: 'Open the new key' }).click();
  await expect(ada.getByText('This key replaces')).toBeVisible();
  const newPage = ada.url();
  expect(newPage).not.toBe(oldPage);
  // The page tells who still uses the old key. A use is recorded shortly after its request.
  await expect(async () => {
    await ada.reload();
    await expect(ada.locator('dt:text-is("Its use since") + dd')).toContainText('1 request, last', { timeout: 500 });
  }).toPass({ timeout: 15_000 });
  await expect(ada.locator('dt:text-is("Its use since") + dd')).toContainText('from 127.0.0.1');
  await ada.goto(`${keyward.url}/w/acme/keys`);
  await expect(ada.getByRole('link', { name: /^old key replaced by / })).toBeVisible();
  await expect(ada.getByRole('link', { name: /^new key replaces / })).toBeVisible();

  await ada.goto(oldPage);
  await expect(ada.getByRole('link', { name: 'Rotate key' })).toHaveCount(0);
  await ada.getByRole('link', { name: 'Undo' }).click();
  await expect(ada.getByRole('heading', { name: 'Undo the rotation of Build machine?' })).toBeVisible();
  await ada.getByRole('button', { name: 'Undo rotation' }).click();
  await expect(ada.getByRole('status').filter({ hasText: 'was undone' })).toBeVisible();
  expect(() => keyward.whoami(key.path)).toThrow();
  expect(keyward.whoami(old)).toContain('ci-runner');
  await expect(ada.getByRole('link', { name: 'Rotate key' })).toBeVisible();
});

test('without a script, a public key is pasted and the old key is revoked at once', async ({ browser, ada, keyward }) => {
  const old = keyward.addKey(['--user', 'ada@example.com'], 'Laptop');
  const line = keyward.sshKeygen('next');
  const cookies = await ada.context().cookies();
  const context = await browser.newContext({ javaScriptEnabled: false });
  await context.addCookies(cookies);
  const page = await context.newPage();
  await page.goto(`${keyward.url}/profile/api-keys`);
  await page.getByRole('link', { name: 'Laptop', exact: true }).click();
  await page.getByRole('link', { name: 'Rotate key' }).click();
  await expect(page.getByRole('button', { name: 'Generate key pair' })).toBeHidden();
  const form = page.locator('#paste');
  await form.getByRole('radio', { name: /Now/ }).check();
  await form.getByLabel('Public key').fill(`${line.slice(0, 30)}`);
  await form.getByRole('button', { name: 'Rotate key' }).click();
  await expect(form.locator('#public_key-wrong')).toBeVisible();
  await expect(form.getByRole('radio', { name: /Now/ })).toBeChecked();
  await form.getByLabel('Public key').fill(line);
  await form.getByRole('button', { name: 'Rotate key' }).click();
  await expect(page.getByText('the old key was revoked')).toBeVisible();
  expect(keyward.whoami('next')).toContain('ada@example.com');
  expect(() => keyward.whoami(old)).toThrow();
  await context.close();
});

test('the keyboard alone rotates a key', async ({ ada, keyward }) => {
  keyward.addKey(['--user', 'ada@example.com'], 'Laptop');
  await ada.goto(`${keyward.url}/profile/api-keys`);
  await ada.getByRole('link', { name: 'Laptop', exact: true }).click();
  await press(ada, ada.getByRole('link', { name: 'Rotate key' }));
  await tabTo(ada, ada.getByRole('button', { name: 'Generate key pair' }));
  // The key of a person is downloaded when it is generated.
  const key = await takePrivateKey(ada, keyward, () => ada.keyboard.press('Enter'));
  await tabTo(ada, ada.getByRole('radio', { name: /In 7 days/ }));
  await ada.keyboard.press('ArrowDown');
  await expect(ada.getByRole('radio', { name: /In 30 days/ })).toBeChecked();
  await press(ada, ada.getByRole('button', { name: 'Rotate key' }));
  await expect(ada.getByRole('heading', { name: 'The key is rotated' })).toBeFocused();
  expect(keyward.whoami(key.path)).toContain('ada@example.com');
});

test('a rotation whose answer was lost is shown when it is sent again', async ({ ada, keyward }) => {
  const old = keyward.addKey(['--user', 'ada@example.com'], 'Laptop');
  await ada.goto(`${keyward.url}/profile/api-keys`);
  await ada.getByRole('link', { name: 'Laptop', exact: true }).click();
  await ada.getByRole('link', { name: 'Rotate key' }).click();
  const key = await takePrivateKey(ada, keyward, () => ada.getByRole('button', { name: 'Generate key pair' }).click());
  await ada.evaluate(() => {
    const send = fetch;
    window.fetch = async (url, options) => {
      const answer = await send(url, options);
      if (!String(url).endsWith('/rotate')) return answer;
      window.fetch = send;
      throw new TypeError('the connection was lost');
    };
  });
  const rotate = ada.getByRole('button', { name: 'Rotate key' });
  await rotate.click();
  await expect(ada.locator('#generate-problem')).toContainText('The server did not respond.');
  await rotate.click();
  await expect(ada.getByRole('heading', { name: 'The key is rotated' })).toBeVisible();
  await expect(ada.locator('#added-accepted')).toHaveText('Both keys are accepted.');
  expect(keyward.whoami(key.path)).toContain('ada@example.com');
  expect(keyward.whoami(old)).toContain('ada@example.com');
});

test('a security admin reviews the keys of a workspace: limits one, rotates one, exports them', async ({ ada, keyward }) => {
  keyward.createServiceAccount('acme', 'ci-runner');
  keyward.admin('set-quota', ['--workspace', 'acme', '--keys-per-service-account', '9']);
  const reports = addKey(keyward, 'Reports');
  const build = addKey(keyward, 'Build machine');
  addKey(keyward, 'Spare');
  keyward.whoami(build);
  await ada.goto(`${keyward.url}/w/acme`);
  await ada.getByRole('link', { name: 'API keys', exact: true }).first().click();
  // The list has the owner, the age, the last use and the limits of each key.
  for (const head of ['Title', 'Created', 'Last used', 'Expires', 'Status']) {
    await expect(ada.getByRole('columnheader', { name: head })).toBeVisible();
  }
  await expect(ada.getByRole('row').filter({ hasText: 'Spare' })).toContainText('ci-runner');

  await ada.getByRole('link', { name: 'Reports', exact: true }).click();
  await ada.locator('#limits').getByRole('link', { name: 'Edit limits' }).click();
  await ada.getByText('Only read', { exact: true }).click();
  await ada.getByRole('button', { name: 'Save limits' }).click();
  await expect(ada.getByRole('status').filter({ hasText: 'is refused now' })).toBeVisible();
  expect(() => keyward.run(['projects', 'create', 'Maps', '--url', keyward.url, '--key', reports])).toThrow(/limited/);

  await openKey(ada, keyward, 'Build machine');
  await ada.getByRole('link', { name: 'Rotate key' }).click();
  await ada.getByRole('radio', { name: /In 30 days/ }).check();
  await ada.getByRole('button', { name: 'Generate key pair' }).click();
  const key = await takePrivateKey(ada, keyward, () => ada.getByRole('button', { name: 'Rotate key' }).click());
  expect(keyward.whoami(key.path)).toContain('ci-runner');
  expect(keyward.whoami(build)).toContain('ci-runner');

  await ada.goto(`${keyward.url}/w/acme/keys`);
  const [download] = await Promise.all([ada.waitForEvent('download'), ada.getByRole('link', { name: /CSV/ }).click()]);
  const rows = readFileSync(await download.path(), 'utf8').trim().split('\r\n');
  const of = (title) => rows.filter((row) => row.includes(`"${title}"`));
  expect(rows[0]).toContain('"limits"');
  expect(of('Reports')[0]).toContain('scopes=keyward:read');
  expect(of('Build machine')).toHaveLength(2);
  expect(of('Build machine').filter((row) => /"key_[0-9a-z]+","[^"]*"$/.test(row))).toHaveLength(1);
  expect(of('Spare')).toHaveLength(1);
});

test('the pages of a rotation fit at every width and are accessible', async ({ ada, keyward }) => {
  test.setTimeout(180_000);
  keyward.createServiceAccount('acme', 'ci-runner');
  keyward.admin('set-quota', ['--workspace', 'acme', '--keys-per-service-account', '9']);
  const long = 'Boundary annotation for the northern harbour, autumn survey of the third year, revision B';
  keyward.whoami(addKey(keyward, long));
  keyward.run(['keys', 'rotate', '--url', keyward.url, '--key', addKey(keyward, 'Label import')]);
  const found = [];
  const look = async (name) => {
    found.push(...await findAxeViolations(ada), ...await findOverflow(ada, name));
  };
  await openKey(ada, keyward, long);
  const old = ada.url();
  await ada.getByRole('link', { name: 'Rotate key' }).click();
  await look('the form');
  await ada.getByText('Paste a public key').click();
  await ada.locator('#public_key').fill('ssh-ed25519 AAAA');
  await ada.locator('#paste').getByRole('button', { name: 'Rotate key' }).click();
  await ada.locator('#public_key-wrong').waitFor();
  await look('what is wrong');
  await ada.getByText('Generate', { exact: true }).first().click();
  await ada.getByRole('button', { name: 'Generate key pair' }).click();
  await takePrivateKey(ada, keyward, () => ada.locator('#generate-add').click());
  await ada.getByRole('heading', { name: 'The key is rotated' }).waitFor();
  await look('the rotated key');
  await ada.getByRole('link', { name: 'Open the new key' }).click();
  await look('the new key');
  await ada.goto(old);
  await look('the old key');
  await ada.getByRole('link', { name: 'Undo' }).click();
  await look('the undo');
  await ada.goto(`${keyward.url}/w/acme/keys`);
  await look('the list');
  await ada.goto(`${keyward.url}/w/acme/keys`);
  for (let width = 320; width <= 1400; width += 20) {
    await ada.setViewportSize({ width, height: 800 });
    const wanted = await ada.evaluate(() => document.documentElement.scrollWidth);
    if (wanted > width) found.push(`the list is ${wanted} wide at ${width}`);
  }
  expect(found).toEqual([]);
});
