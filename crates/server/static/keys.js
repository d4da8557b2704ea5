// Makes a key pair in the browser and registers its public half. The private half is downloaded and never sent.

import { awaitFirstUse } from './first-use.js';
import { isPrivateKey, privateFile, publicLine } from './openssh.js';

const by = (id) => document.getElementById(id);

async function makePair() {
  const pair = await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify']);
  const publicKey = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
  // PKCS #8 of Ed25519 ends with the seed (RFC 8410).
  const seed = new Uint8Array(await crypto.subtle.exportKey('pkcs8', pair.privateKey)).slice(-32);
  return { publicKey, seed, signingKey: pair.privateKey };
}

function download(name, content) {
  const url = URL.createObjectURL(new Blob([content], { type: 'text/plain' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  URL.revokeObjectURL(url);
}

/** A file name that every system takes, from a title. */
const fileName = (title) => `${title.trim().replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[-.]+|[-.]+$/g, '') || 'key'}.txt`;

/** Signs GET /api/v1/me as a client would, without the session's cookie, and tells what the server says. */
async function testKey(signingKey, keyId) {
  const created = Math.floor(Date.now() / 1000);
  const nonce = btoa(Array.from(crypto.getRandomValues(new Uint8Array(18)), (byte) => String.fromCharCode(byte)).join(''))
    .replaceAll('+', '-').replaceAll('/', '_');
  const path = '/api/v1/me';
  const parameters = `("@method" "@authority" "@target-uri");created=${created};expires=${created + 60};`
    + `nonce="${nonce}";keyid="${keyId}";tag="keyward"`;
  const base = [
    '"@method": GET',
    `"@authority": ${location.host}`,
    `"@target-uri": ${location.origin}${path}`,
    `"@signature-params": ${parameters}`,
  ].join('\n');
  const bytes = new Uint8Array(await crypto.subtle.sign('Ed25519', signingKey, new TextEncoder().encode(base)));
  const signature = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
  const response = await fetch(path, {
    credentials: 'omit',
    headers: { 'signature-input': `keyward=${parameters}`, signature: `keyward=:${signature}:` },
  });
  const answer = await response.json();
  return response.ok ? `Accepted: this key is ${answer.principal.email}.` : `Refused: ${answer.detail}`;
}

/** Where the fields of the API are on the page. */
const FIELDS = {
  title: 'generate-title',
  public_key: 'generate-key',
  expires: 'generate-expires',
  expires_at: 'generate-expires',
  confirm_password: 'generate-confirm',
};

/** Says what is wrong with a field, or that nothing is. */
function say(id, sentence) {
  by(id).setAttribute('aria-invalid', String(Boolean(sentence)));
  by(`${id}-wrong`).textContent = sentence;
  by(`${id}-wrong`).hidden = !sentence;
}

function enableGenerating(form) {
  const title = by('generate-title');
  const key = by('generate-key');
  const add = by('generate-add');
  const problem = by('generate-problem');
  const isOwn = form.dataset.own === 'true';
  let pair;
  let file;

  /** Says what is wrong: at the field where there is one, else above the form. */
  const refuse = (sentence, errors = []) => {
    for (const id of Object.values(FIELDS)) say(id, '');
    const rest = errors.filter(({ field }) => !FIELDS[field]);
    for (const { field, detail } of errors) if (FIELDS[field]) say(FIELDS[field], `${detail[0].toUpperCase()}${detail.slice(1)}.`);
    problem.textContent = errors.length ? rest.map(({ detail }) => detail).join(' ') : sentence;
    problem.hidden = !problem.textContent;
    form.querySelector('[aria-invalid=true]')?.focus();
  };
  const wake = () => { add.disabled = !(title.value.trim() && key.value); };
  title.addEventListener('input', wake);
  wake();

  by('generate-button').addEventListener('click', async () => {
    refuse('');
    if (isOwn && !title.reportValidity()) return;
    try {
      pair = await makePair();
    } catch {
      by('generate-card').hidden = true;
      by('commands-why').hidden = false;
      return;
    }
    const comment = title.value.trim().replace(/\s+/g, '-').replace(/[^\x21-\x7e]/g, '') || 'keyward';
    key.value = publicLine(pair.publicKey, comment);
    file = privateFile(pair.seed, pair.publicKey, comment, crypto.getRandomValues(new Uint8Array(4)));
    pair.seed.fill(0);
    if (isOwn) {
      download(fileName(title.value), file);
      by('generate-hint').textContent = `The private key is downloaded as ${fileName(title.value)}. It cannot be recovered.`;
    } else {
      by('generate-hint').textContent = 'The pair is made. The private key downloads when the key is added.';
    }
    wake();
  });

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    refuse('');
    add.disabled = true;
    try {
      const response = await fetch(form.action, {
        method: 'POST',
        headers: { accept: 'application/json' },
        body: new URLSearchParams(new FormData(form)),
      });
      const answer = await response.json();
      if (response.ok) {
        showAdded(form, answer, pair, file, isOwn);
        return;
      }
      if (answer.code === 'password_needed') {
        by('generate-password').hidden = false;
        by('generate-confirm').required = true;
      }
      const isDuplicate = answer.code === 'duplicate_key';
      refuse(answer.detail, isDuplicate ? [{ field: 'public_key', detail: answer.detail.replace(/\.$/, '') }] : answer.errors);
      if (answer.code === 'password_needed') by('generate-confirm').focus();
    } catch {
      refuse('The server did not answer. The key pair is still here; try again.');
    }
    wake();
  });
}

function showAdded(form, key, pair, file, isOwn) {
  const name = fileName(key.title);
  if (!isOwn) download(name, file);
  by('generate-card').hidden = true;
  by('paste-card').hidden = true;
  by('commands').hidden = true;
  by('added-title').textContent = key.title;
  by('added-fingerprint').textContent = key.fingerprint;
  for (const place of document.querySelectorAll('[data-file]')) place.textContent = name;
  by('added-download').addEventListener('click', () => download(name, file));
  by('added-test').addEventListener('click', async () => {
    const result = by('added-test-result');
    result.hidden = false;
    result.textContent = 'Asking …';
    result.textContent = await testKey(pair.signingKey, key.fingerprint).catch(() => 'The server did not answer. Try again.');
  });
  by('added').hidden = false;
  by('added-heading').focus();
  const path = new URL(form.action).pathname;
  awaitFirstUse(by('first-use'), `${path}/${key.id}`);
}

function guardPasting(form) {
  const title = by('title');
  const key = by('public_key');
  const create = by('paste-create');
  const warning = by('paste-private');
  const refused = key.getAttribute('aria-invalid') === 'true' ? key.value : null;
  const wake = () => {
    const isPrivate = isPrivateKey(key.value);
    warning.hidden = !isPrivate;
    // What the server said of the key stands until another one is typed.
    key.setAttribute('aria-invalid', String(isPrivate || key.value === refused));
    create.disabled = isPrivate || !(title.value.trim() && key.value.trim());
  };
  form.addEventListener('input', wake);
  form.addEventListener('submit', (event) => {
    wake();
    if (isPrivateKey(key.value)) event.preventDefault();
  });
  wake();
}

const generate = by('generate');
if (globalThis.crypto?.subtle) {
  enableGenerating(generate);
} else {
  by('generate-card').hidden = true;
  by('commands-why').hidden = false;
}
guardPasting(by('paste'));
