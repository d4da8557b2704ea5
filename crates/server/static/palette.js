// The search that opens over a page: what pages.js loads when it has opened. It asks the search page for its results.

import { isPrivateKey } from './openssh.js';

/** How long to wait for the next letter before the search, in milliseconds. */
const PAUSE = 120;

function create(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

class Palette {
  /** The options, in the order of the keys. */
  options = [];

  /** Fills in the dialog, which has the field. `keys` reads and sets whether a key without Ctrl opens it. */
  constructor(dialog, path, keys) {
    this.dialog = dialog;
    this.path = path;
    this.field = dialog.querySelector('input');
    this.list = create('div', { id: 'palette-list', role: 'listbox', 'aria-label': 'Results' });
    this.told = create('p', { role: 'status' });
    this.keys = create('input', { type: 'checkbox', checked: keys.areOn() });
    const close = create('button', { type: 'button', textContent: 'Close' });
    close.className = 'btn ghost sm';
    const hints = create('span', {}, create('kbd', { textContent: '\u2191' }), create('kbd', { textContent: '\u2193' }), ' to move, ', create('kbd', { textContent: 'Enter' }), ' to open');
    const foot = create('footer', {}, hints, create('label', {}, this.keys, ' Open with ', create('kbd', { textContent: '/' })), close);
    dialog.append(this.list, this.told, foot);
    this.field.addEventListener('input', () => this.wait());
    this.field.addEventListener('keydown', (event) => this.press(event));
    close.addEventListener('click', () => this.dialog.close());
    // What is beside the dialog counts as the dialog itself.
    this.dialog.addEventListener('click', (event) => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener('close', () => this.stop());
    this.keys.addEventListener('change', () => keys.set(this.keys.checked));
  }

  /** Begins with the text that was typed since the dialog opened. */
  start() {
    this.show([]);
    this.goesToFirst = 'entered' in this.dialog.dataset;
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
      const answer = await fetch(`${this.path}?${new URLSearchParams({ q })}`, {
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

let palette;

/** Searches in a dialog that was just opened. */
export function start(dialog, path, keys) {
  palette ??= new Palette(dialog, path, keys);
  palette.start();
}
