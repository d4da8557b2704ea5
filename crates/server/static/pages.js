// Small comforts for pages that work without them: copying, menus that close, the address as it is typed.

for (const button of document.querySelectorAll('[data-copy]')) {
  // Browsers keep the clipboard from pages that did not come safely.
  button.hidden = !navigator.clipboard;
  button.addEventListener('click', async () => {
    const source = document.getElementById(button.dataset.copy);
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    const label = button.querySelector('span') ?? button;
    const before = label.textContent;
    label.textContent = 'Copied';
    button.classList.add('done');
    setTimeout(() => {
      label.textContent = before;
      button.classList.remove('done');
    }, 2000);
  });
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

const name = document.querySelector('[data-address]');
name?.addEventListener('input', () => {
  document.getElementById('address-name').textContent = name.value || 'name';
});

document.querySelector('[data-focus]')?.focus();
