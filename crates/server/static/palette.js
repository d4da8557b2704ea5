// The search that opens over a page. It asks the search page for the same results; without a script, its link leads there.

import { isPrivateKey } from './openssh.js';

const link = document.querySelector('[data-palette]');
const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
/** How long to wait for the next letter before the search, in milliseconds. */
const PAUSE = 120;
/** Where the browser keeps that the keys without Ctrl are off. */
const KEYS_OFF = 'keyward-palette-keys-off';

function create(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function readKeysOff() {
  try {
    return localStorage.getItem(KEYS_OFF) !== null;
  } catch {
    // The browser keeps nothing for this site.
    return false;
  }
}

class Palette {
  /** The options, in the order of the keys. */
  options = [];

  constructor() {
    this.field = create('input', {
      type: 'text', id: 'palette-field', maxLength: 100, autocomplete: 'off', spellcheck: false, enterKeyHint: 'go',
      placeholder: 'Search pages, keys, accounts, people and projects',
      role: 'combobox', 'aria-label': 'Search', 'aria-autocomplete': 'list', 'aria-expanded': 'false', 'aria-controls': 'palette-list',
    });
    this.list = create('div', { id: 'palette-list', role: 'listbox', 'aria-label': 'Results' });
    this.told = create('p', { role: 'status' });
    this.keys = create('input', { type: 'checkbox', checked: !readKeysOff() });
    const close = create('button', { type: 'button', textContent: 'Close' });
    close.className = 'btn ghost sm';
    const hints = create('span', {}, create('kbd', { textContent: '\u2191' }), create('kbd', { textContent: '\u2193' }), ' to move, ', create('kbd', { textContent: 'Enter' }), ' to open');
    const foot = create('footer', {}, hints, create('label', {}, this.keys, ' Open with ', create('kbd', { textContent: '/' })), close);
    this.dialog = create('dialog', { 'aria-label': 'Search' }, this.field, this.list, this.told, foot);
    this.dialog.className = 'palette';
    document.body.append(this.dialog);
    this.field.addEventListener('input', () => this.wait());
    this.field.addEventListener('keydown', (event) => this.press(event));
    close.addEventListener('click', () => this.dialog.close());
    // What is beside the dialog counts as the dialog itself.
    this.dialog.addEventListener('click', (event) => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener('close', () => this.stop());
    this.keys.addEventListener('change', () => {
      try {
        if (this.keys.checked) localStorage.removeItem(KEYS_OFF);
        else localStorage.setItem(KEYS_OFF, '1');
      } catch {
        // It holds until the next page.
      }
    });
  }

  get isOpen() {
    return this.dialog.open;
  }

  get hasKeys() {
    return this.keys.checked;
  }

  open() {
    if (this.isOpen) return;
    this.field.value = '';
    this.show([]);
    this.dialog.showModal();
    this.field.focus();
    this.search();
  }

  stop() {
    clearTimeout(this.timer);
    this.request?.abort();
    this.request = undefined;
    this.goesToFirst = false;
  }

  /** Searches once nothing was typed for a moment. */
  wait() {
    this.stop();
    this.isWaiting = true;
    this.timer = setTimeout(() => this.search(), PAUSE);
  }

  async search() {
    const q = this.field.value.trim();
    this.isWaiting = true;
    if (isPrivateKey(q)) {
      this.say('This looks like a private key. It was not sent.');
      return;
    }
    const request = new AbortController();
    this.request = request;
    try {
      const answer = await fetch(`${link.pathname}?${new URLSearchParams({ q })}`, {
        headers: { accept: 'application/json' }, signal: request.signal,
      });
      const body = await answer.json();
      if (request.signal.aborted) return;
      if (answer.status === 401) {
        this.say('Your session has ended. Load the page again to sign in.');
        return;
      }
      if (!answer.ok) {
        this.say(body.errors?.[0]?.detail ?? body.detail ?? 'The search failed. Try again.');
        return;
      }
      this.isWaiting = false;
      this.show(body.groups);
      if (this.options.length === 0) this.told.textContent = 'No results. Search for a part of the title, name, address or fingerprint.';
      else this.told.textContent = this.options.length === 1 ? '1 result' : `${this.options.length} results`;
      this.told.className = this.options.length === 0 ? '' : 'visually-hidden';
      if (this.goesToFirst) this.options[0]?.click();
      this.goesToFirst = false;
    } catch (error) {
      if (error.name !== 'AbortError') this.say('The server did not answer. Try again.');
    }
  }

  /** Says something in place of results. */
  say(text) {
    this.isWaiting = false;
    this.goesToFirst = false;
    this.show([]);
    this.told.className = '';
    this.told.textContent = text;
  }

  show(groups) {
    this.options = [];
    const parts = groups.map(({ label, items, more }, at) => {
      const heading = create('div', { id: `palette-group-${at}`, role: 'presentation', textContent: label });
      const options = items.map((item) => this.createOption(item));
      if (more) options.push(this.createOption({ title: 'Show all', detail: label, path: more }));
      return create('div', { role: 'group', 'aria-labelledby': heading.id }, heading, ...options);
    });
    this.list.replaceChildren(...parts);
    this.list.hidden = this.options.length === 0;
    this.field.setAttribute('aria-expanded', String(!this.list.hidden));
    this.mark(0);
  }

  createOption({ title, detail, state, path }) {
    const option = create('a', { id: `palette-option-${this.options.length}`, role: 'option', href: path, tabIndex: -1 });
    option.append(create('b', { textContent: title }));
    option.append(create('small', { textContent: detail }));
    if (state) {
      const [kind, words] = state;
      const mark = create('span', { textContent: words });
      mark.className = `state ${kind}`;
      option.append(mark);
    }
    option.addEventListener('pointermove', () => this.mark(this.options.indexOf(option), false));
    this.options.push(option);
    return option;
  }

  /** Marks the option that Enter opens. */
  mark(at, scrolls = true) {
    this.marked = at;
    for (const [number, option] of this.options.entries()) option.setAttribute('aria-selected', String(number === at));
    const option = this.options[at];
    if (option) this.field.setAttribute('aria-activedescendant', option.id);
    else this.field.removeAttribute('aria-activedescendant');
    // The heading of the first group is above its first option.
    if (scrolls) (at === 0 ? option?.parentElement : option)?.scrollIntoView({ block: 'nearest' });
  }

  press(event) {
    if (event.isComposing) return;
    const count = this.options.length;
    if (event.key === 'ArrowDown' && count > 0) this.mark((this.marked + 1) % count);
    else if (event.key === 'ArrowUp' && count > 0) this.mark((this.marked + count - 1) % count);
    else if (event.key === 'Enter' && this.isWaiting) this.goesToFirst = true;
    else if (event.key === 'Enter') this.options[this.marked]?.click();
    else return;
    event.preventDefault();
  }
}

/** Whether a key that is pressed there writes something. */
function isWriting(target) {
  return target instanceof HTMLElement && (target.isContentEditable || target.matches('input, textarea, select'));
}

// Browsers without dialogs have the page.
if (link && 'showModal' in HTMLDialogElement.prototype) {
  const palette = new Palette();
  link.setAttribute('aria-haspopup', 'dialog');
  link.addEventListener('click', (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    palette.open();
  });
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.repeat || event.isComposing || event.altKey) return;
    // Ctrl-K edits the text of a field on a Mac.
    const isCommand = isMac ? event.metaKey && !event.ctrlKey : event.ctrlKey && !event.metaKey;
    const opens = event.key.toLowerCase() === 'k' && isCommand && !event.shiftKey;
    const opensWithoutControl = event.key === '/' && palette.hasKeys && !event.ctrlKey && !event.metaKey && !isWriting(event.target);
    if (palette.isOpen ? !opens : !opens && !opensWithoutControl) return;
    event.preventDefault();
    palette.open();
  });
}
