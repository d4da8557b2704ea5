// Makes a key pair in the browser and registers its public half. The private half is downloaded and never sent.

import { awaitFirstUse } from './first-use.js';
import { isPrivateKey, privateFile, proofMessage, publicLine, sshSignature } from './openssh.js';

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

/** A file name that every system takes, from a title; another one where this page has used that name. */
function fileName(title, used = []) {
  const stem = title.trim().replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[-.]+|[-.]+$/g, '') || 'key';
  let name = `${stem}.txt`;
  for (let count = 2; used.includes(name); count += 1) name = `${stem}-${count}.txt`;
  return name;
}

/** A sentence of the server, in which code stands between backticks. */
const ticked = (sentence) => sentence.split('`').map((part, at) => {
  if (at % 2 === 0) return part;
  const code = document.createElement('code');
  code.textContent = part;
  return code;
});

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
  return response.ok ? `Accepted. The key authenticates ${answer.principal.email}.` : `Refused: ${answer.detail}`;
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
  by(`${id}-wrong`).replaceChildren(...ticked(sentence));
  by(`${id}-wrong`).hidden = !sentence;
}

const ENDED = 'Your session has ended. Sign in in another tab, then press Add again. The key pair is still here.';

/** Adds the key with a proof; what the server refuses first is the answer. */
async function post(form, pair) {
  const challenged = await addProof(form, pair);
  if (!challenged.ok) return challenged;
  return fetch(form.action, {
    method: 'POST',
    headers: { accept: 'application/json' },
    body: new URLSearchParams(new FormData(form)),
  });
}

/** Signs a fresh challenge with the pair, so that nobody who registered its public half before can keep it. */
async function addProof(form, pair) {
  const response = await fetch(`${form.action}/proof-challenge`, {
    method: 'POST',
    headers: { accept: 'application/json' },
    body: new URLSearchParams({ csrf: form.elements.csrf.value }),
  });
  if (!response.ok) return response;
  const message = await proofMessage(await response.json(), pair.publicKey);
  by('generate-proof').value = await sshSignature(pair, 'keyward-proof', message);
  return response;
}

/** Takes the token of a session that began after the page was made; why not, if it cannot. */
async function renewSession(form) {
  const response = await fetch(`${form.action}/new`, { headers: { accept: 'application/json' } });
  if (!response.ok) return response.status === 401 ? ENDED : (await response.json()).detail;
  const { csrf, account, needs_password: needsPassword } = await response.json();
  if (account !== form.dataset.account) {
    return `${account} is signed in now. Sign in as ${form.dataset.account} in another tab, then press Add again. The key pair is still here.`;
  }
  for (const field of document.querySelectorAll('input[name=csrf]')) field.value = csrf;
  if (needsPassword) askForPassword();
  return null;
}

function askForPassword() {
  by('generate-password').hidden = false;
  by('generate-confirm').required = true;
}

function enableGenerating(form) {
  const title = by('generate-title');
  const key = by('generate-key');
  const add = by('generate-add');
  const problem = by('generate-problem');
  const isOwn = form.dataset.own === 'true';
  let pair;
  let file;
  /** Under which names private keys were downloaded; the last one is this pair's. */
  const downloaded = [];

  /** Says what is wrong: at the field where there is one, else above the form. */
  const refuse = (sentence, errors = []) => {
    for (const id of Object.values(FIELDS)) say(id, '');
    const rest = errors.filter(({ field }) => !FIELDS[field]);
    for (const { field, detail } of errors) if (FIELDS[field]) say(FIELDS[field], `${detail[0].toUpperCase()}${detail.slice(1)}.`);
    problem.replaceChildren(...ticked(errors.length ? rest.map(({ detail }) => detail).join(' ') : sentence));
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
      const paste = by('paste');
      by('title').value ||= title.value;
      by('expires').value ||= by('generate-expires').value;
      tellTerminal('This browser does not support Ed25519 keys.');
      paste.dispatchEvent(new Event('input'));
      by(by('title').value ? 'public_key' : 'title').focus();
      return;
    }
    const comment = title.value.trim().replace(/\s+/g, '-').replace(/[^\x21-\x7e]/g, '') || 'keyward';
    key.value = publicLine(pair.publicKey, comment);
    file = privateFile(pair.seed, pair.publicKey, comment, crypto.getRandomValues(new Uint8Array(4)));
    pair.seed.fill(0);
    if (isOwn) {
      const before = downloaded.at(-1);
      const name = fileName(title.value, downloaded);
      downloaded.push(name);
      download(name, file);
      by('generate-hint').textContent = `The private key was downloaded as ${name}. It cannot be recovered.`
        + (before ? ` This replaces the key pair in ${before}, which was not added. Delete that file.` : '');
    } else {
      const replaced = by('generate-hint').dataset.made ? ' This replaces the previous key pair.' : '';
      by('generate-hint').dataset.made = 'true';
      by('generate-hint').textContent = `The key pair is generated. The private key downloads when the key is added.${replaced}`;
    }
    wake();
  });

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    refuse('');
    add.disabled = true;
    try {
      let response = await post(form, pair);
      let answer = await response.json();
      if (response.status === 403 && answer.code === 'forbidden') {
        // The token is another session's, for instance of one that began in another tab.
        const why = await renewSession(form);
        if (why) {
          refuse(why);
          wake();
          return;
        }
        response = await post(form, pair);
        answer = await response.json();
      }
      if (response.ok) {
        showAdded(form, answer, pair, file, isOwn ? downloaded.at(-1) : null);
        return;
      }
      if (response.status === 401) {
        refuse(ENDED);
        wake();
        return;
      }
      if (answer.code === 'password_needed') askForPassword();
      const isDuplicate = answer.code === 'duplicate_key';
      refuse(answer.detail, isDuplicate ? [{ field: 'public_key', detail: answer.detail.replace(/\.$/, '') }] : answer.errors);
      if (answer.code === 'password_needed') by('generate-confirm').focus();
    } catch {
      refuse('The server did not respond. The key pair is still here. Try again.');
    }
    wake();
  });
}

/** `downloaded` is the name of the private key's file, if there is one already. */
function showAdded(form, key, pair, file, downloaded) {
  const name = downloaded ?? fileName(key.title);
  if (!downloaded) download(name, file);
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
    result.textContent = 'Sending the request …';
    result.textContent = await testKey(pair.signingKey, key.fingerprint).catch(() => 'The server did not respond. Try again.');
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

/** Leads to the terminal where the browser makes no keys. */
function tellTerminal(why) {
  by('generate-card').hidden = true;
  const caution = document.createElement('p');
  caution.className = 'caution';
  const way = document.createElement('a');
  way.href = '#commands';
  way.textContent = 'Generate the key pair with ssh-keygen';
  const sentence = document.createElement('span');
  sentence.append(`${why} `, way, ', and paste its public half here.');
  caution.append(sentence);
  by('generate-not').replaceChildren(caution);
}

if (globalThis.crypto?.subtle) {
  enableGenerating(by('generate'));
} else {
  tellTerminal(globalThis.isSecureContext
    ? 'This browser does not support Ed25519 keys.'
    : 'This page was not loaded over HTTPS, so the browser cannot generate keys.');
}
guardPasting(by('paste'));
