// What pages do with a script, and work without: copying, menus that close, local times, the address as it is typed.

/** Has a button copy the text of an element. */
function copies(button, source) {
  // Browsers keep the clipboard from pages that did not come safely.
  button.hidden = !navigator.clipboard;
  button.addEventListener('click', async () => {
    const label = button.querySelector('span') ?? button;
    const before = label.textContent;
    try {
      await navigator.clipboard.writeText(source.value ?? source.textContent);
    } catch {
      // The browser does not allow it. People can: the text is selected for them.
      if (source.select) source.select();
      else getSelection().selectAllChildren(source);
      return;
    }
    label.textContent = 'Copied';
    button.classList.add('done');
    setTimeout(() => {
      label.textContent = before;
      button.classList.remove('done');
    }, 2000);
  });
}

for (const button of document.querySelectorAll('[data-copy]')) copies(button, document.getElementById(button.dataset.copy));

// Rows are many: what each of them has alike is made here.
for (const fingerprint of document.querySelectorAll('.keys td code')) {
  const button = document.createElement('button');
  const label = document.createElement('span');
  button.type = 'button';
  button.className = 'copy';
  button.title = 'Copy the fingerprint';
  label.textContent = `Copy the fingerprint of ${fingerprint.closest('tr').querySelector('th a').textContent}`;
  button.append(label);
  fingerprint.after(button);
  const select = () => {
    fingerprint.textContent = fingerprint.title;
    getSelection().selectAllChildren(fingerprint);
  };
  copies(button, { value: fingerprint.title, select });
}

const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' });
const local = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', timeZoneName: 'short',
});
const isUtc = new Date().getTimezoneOffset() === 0;
for (const time of document.querySelectorAll('time')) {
  const date = new Date(time.dateTime);
  time.title = isUtc ? `${exact.format(date)} UTC` : `${local.format(date)}\n${exact.format(date)} UTC`;
}

// An address is broken where people would break it.
for (const heading of document.querySelectorAll('h1')) {
  if (heading.textContent.includes('@') && heading.childElementCount === 0) {
    heading.replaceChildren(...heading.textContent.split(/(?<=[@.])/).flatMap((part) => [part, document.createElement('wbr')]));
  }
}

// A click on a row opens what the row is about, unless it was on something that does more, or selected a text.
for (const table of document.querySelectorAll('.table')) {
  table.addEventListener('click', (event) => {
    const link = event.target.closest('tbody tr')?.querySelector('.title-link');
    if (!link || event.target.closest('a, button, input, select, summary, label, form, details') || !getSelection().isCollapsed) return;
    link.dispatchEvent(new MouseEvent('click', { ctrlKey: event.ctrlKey, metaKey: event.metaKey, shiftKey: event.shiftKey, cancelable: true }));
  });
}

// The selected rows of a list are counted, and all of a page are selected at once.
for (const words of document.querySelectorAll('.bulk > span')) {
  const list = words.closest('.card');
  const boxes = [...list.querySelectorAll('td.choose input')];
  const head = list.querySelector('thead th');
  if (!head || boxes.length === 0) continue;
  const all = document.createElement('input');
  all.type = 'checkbox';
  all.setAttribute('aria-label', 'Select all on this page');
  words.setAttribute('role', 'status');
  head.classList.add('choose');
  head.replaceChildren(all);
  const count = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    all.checked = chosen === boxes.length;
    all.indeterminate = chosen > 0 && !all.checked;
    words.textContent = `${chosen} selected`;
  };
  list.addEventListener('change', (event) => {
    if (event.target === all) for (const box of boxes) box.checked = all.checked;
    count();
  });
  // A browser fills in what was checked before, also when it goes back.
  addEventListener('pageshow', count);
}

const menus = document.querySelectorAll('details.menu');
document.addEventListener('click', (event) => {
  for (const menu of menus) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  for (const menu of menus) {
    if (menu.open) {
      menu.open = false;
      menu.querySelector('summary').focus();
    }
  }
});

// The search opens over the page. Its field is there at once, and the rest is loaded then. Browsers without dialogs have the page
// that the link leads to.
const search = document.querySelector('[data-palette]');
if (search && 'showModal' in HTMLDialogElement.prototype) {
  const off = 'keyward-search-key-off';
  const keys = {
    areOn() {
      try {
        return localStorage.getItem(off) === null;
      } catch {
        // The browser keeps nothing for this site.
        return true;
      }
    },
    set(on) {
      try {
        if (on) localStorage.removeItem(off);
        else localStorage.setItem(off, '1');
      } catch {
        // It holds until the next page.
      }
    },
  };
  const dialog = document.createElement('dialog');
  const field = document.createElement('input');
  dialog.className = 'palette';
  dialog.setAttribute('aria-label', 'Search');
  for (const [name, value] of Object.entries({
    maxlength: 100, autocomplete: 'off', spellcheck: 'false', enterkeyhint: 'go', placeholder: 'Search pages, keys, accounts, people and projects',
    role: 'combobox', 'aria-label': 'Search', 'aria-autocomplete': 'list', 'aria-expanded': 'false', 'aria-controls': 'palette-list',
  })) field.setAttribute(name, value);
  // Enter may be pressed before the rest is there.
  field.addEventListener('keydown', (event) => { if (event.key === 'Enter') dialog.dataset.entered = ''; });
  dialog.append(field);
  document.body.append(dialog);
  const open = () => {
    if (dialog.open) return;
    field.value = '';
    delete dialog.dataset.entered;
    dialog.showModal();
    field.focus();
    import('./palette.js').then(({ start }) => start(dialog, search.pathname, keys), () => location.assign(search.href));
  };
  search.setAttribute('aria-haspopup', 'dialog');
  search.addEventListener('click', (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    open();
  });
  const isMac = /Mac|iP/.test(navigator.platform);
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.repeat || event.isComposing || event.altKey) return;
    // Ctrl-K edits the text of a field on a Mac.
    const isCommand = isMac ? event.metaKey && !event.ctrlKey : event.ctrlKey && !event.metaKey;
    const isWriting = event.target.isContentEditable || event.target.matches?.('input, textarea, select');
    const isSlash = event.key === '/' && !event.ctrlKey && !event.metaKey && !isWriting && !dialog.open && keys.areOn();
    if (!isSlash && !(event.key.toLowerCase() === 'k' && isCommand && !event.shiftKey)) return;
    event.preventDefault();
    open();
  });
}

for (const button of document.querySelectorAll('[data-dismiss]')) button.addEventListener('click', () => button.parentElement.remove());

const name = document.querySelector('[data-address]');
name?.addEventListener('input', () => {
  document.getElementById('address-name').textContent = name.value || 'name';
});

document.querySelector('[data-focus]')?.focus();
