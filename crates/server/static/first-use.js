// Waits for the first request that is signed with a key, and says so when it has come.

const INTERVAL = 2000;
/** After ten minutes the page stops asking; it starts again when it is reloaded. */
const ROUNDS = 300;

async function findUse(path) {
  const response = await fetch(path, { headers: { accept: 'application/json' } });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.json();
}

/** Tells in `place` when the key at `path` is used for the first time. */
export function awaitFirstUse(place, path, round = 0) {
  if (round >= ROUNDS) return;
  setTimeout(async () => {
    // A page that nobody sees does not ask, and a server that does not answer is asked again.
    const key = document.hidden ? null : await findUse(path).catch(() => null);
    if (key?.last_used_at) {
      place.textContent = `First used just now${key.last_used_ip ? `, from ${key.last_used_ip}` : ''}.`;
      place.previousElementSibling?.classList.add('on');
      const address = document.createElement('small');
      if (key.last_used_ip) address.textContent = `from ${key.last_used_ip}`;
      document.getElementById('last-used')?.replaceChildren('Just now', address);
    } else {
      awaitFirstUse(place, path, round + 1);
    }
  }, INTERVAL);
}

const waiting = document.querySelector('#first-use[data-key]');
if (waiting) awaitFirstUse(waiting, waiting.dataset.key);
