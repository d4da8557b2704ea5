// Waits for the first request that is signed with a key, and says so when it has come.

const INTERVAL = 2000;
/** After ten minutes the page stops asking; it starts again when it is reloaded. */
const ROUNDS = 300;

async function findUse(path) {
  const response = await fetch(path, { headers: { accept: 'application/json' } });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.json();
}

/** Says in `place` that a key was used for the first time. */
export function showFirstUse(place, ip) {
  place.textContent = `First used just now${ip ? `, from ${ip}` : ''}.`;
  place.previousElementSibling?.classList.add('on');
  const address = document.createElement('small');
  if (ip) address.textContent = `from ${ip}`;
  document.getElementById('last-used')?.replaceChildren('Just now', address);
  // On the page of a key that was just added, it is the last step.
  const step = place.closest('.steps > li');
  const tick = step?.parentElement.querySelector('.done .tick');
  if (tick) {
    step.className = 'done';
    step.querySelector('.tick').replaceChildren(...tick.cloneNode(true).childNodes);
  }
}

/** Tells in `place` when the key at `path` is used for the first time. */
export function awaitFirstUse(place, path, round = 0) {
  if (round >= ROUNDS) return;
  setTimeout(async () => {
    // A page that nobody sees does not ask, and a server that does not answer is asked again.
    const key = document.hidden ? null : await findUse(path).catch(() => null);
    if (key?.last_used_at) {
      showFirstUse(place, key.last_used_ip);
    } else {
      awaitFirstUse(place, path, round + 1);
    }
  }, INTERVAL);
}

const waiting = document.querySelector('#first-use[data-key]');
if (waiting) awaitFirstUse(waiting, waiting.dataset.key);
