// A person without a mouse.

import { expect } from './test.js';

const isFocused = (target) => target.evaluate((element) => element === document.activeElement);

/** Presses Tab until the element has the focus, which must be visible. */
export async function tabTo(page, target) {
  await expect(target).toBeVisible();
  for (let steps = 0; steps < 80; steps += 1) {
    if (await isFocused(target)) {
      const outline = await target.evaluate((element) => getComputedStyle(element).outlineStyle);
      expect(outline, 'the focus is seen').not.toBe('none');
      return;
    }
    await page.keyboard.press('Tab');
  }
  throw new Error(`the Tab key does not lead to ${target}`);
}

/** Goes to a thing, and presses a key there. */
export async function press(page, target, key = 'Enter') {
  await tabTo(page, target);
  await page.keyboard.press(key);
}

/** Goes to a field, and writes into it. */
export async function type(page, target, text) {
  await tabTo(page, target);
  await page.keyboard.type(text);
}
