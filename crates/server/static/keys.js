// Makes a key pair in the browser and registers its public half. The private half is downloaded and never sent.

import { awaitFirstUse, showFirstUse } from './first-use.js';
import { isPrivateKey, privateFile, proofMessage, publicLine, sshSignature } from './openssh.js';

const by = (id) => document.getElementById(id);

async function makePair() {
  const pair = await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify']);
  const publicKey = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
  // PKCS #8 of Ed25519 ends with the seed (RFC 8410).
  const seed = new Uint8Array(await crypto.subtle.exportKey('pkcs8', pair.privateKey)).slice(-32);
  return { publicKey, seed, signingKey: pair.privateKey };
}

/**
 * The file of a private key. The text is kept in memory: on the page it could be read by extensions and saved by "Save page as".
 * Its URL is never revoked: browsers that ask where to save read the file when they have the answer, and they drop the URL with
 * the page.
 */
class PrivateKeyFile {
  /** Set by the first download. */
  name = null;

  constructor(text) {
    this.text = text;
    this.url = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  }

  download(name = this.name) {
    this.name = name;
    const link = document.createElement('a');
    link.href = this.url;
    link.download = this.name;
    document.body.append(link);
    link.click();
    link.remove();
  }
}

/** A file name that every system takes, from a title; another one where this page has used that name. */
function fileName(title, used = []) {
  const stem = title.trim().replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[-.]+|[-.]+$/g, '') || 'key';
  let name = `${stem}.txt`;
  for (let count = 2; used.includes(name); count += 1) name = `${stem}-${count}.txt`;
  return name;
}

/** Has a button copy the private key, and says in `told` whether it did. */
function copyOnClick(button, told, getFile) {
  button.addEventListener('click', async () => {
    told.textContent = '';
    try {
      await navigator.clipboard.writeText(getFile().text);
      told.textContent = 'The private key is copied. Paste it into a file that only its user can read.';
    } catch {
      told.textContent = 'The browser does not allow copying. Download the file.';
    }
  });
}

/** Asks before the page is left, and the key pair with it. */
function askBeforeLeaving(event) {
  event.preventDefault();
  // What browsers before 2024 ask for.
  event.returnValue = true;
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
  if (!response.ok) return `Refused: ${answer.detail}`;
  showFirstUse(by('first-use'));
  return `Accepted. The key authenticates ${answer.principal.email}.`;
}

/** Where the fields of the API are on the page. */
const FIELDS = {
  title: 'generate-title',
  public_key: 'generate-key',
  expires: 'generate-expires',
  expires_at: 'generate-expires',
  confirm_password: 'generate-confirm',
  'limits.scopes': 'generate-scopes',
  'limits.projects': 'generate-projects',
  'limits.workspaces': 'generate-workspaces',
  'limits.cidrs': 'generate-networks',
  'limits.not_before': 'generate-valid_from',
  overlap: 'generate-overlap',
  overlap_seconds: 'generate-overlap',
};

/** Says what is wrong with a field, or that nothing is. */
function say(id, sentence) {
  // Not every form has every field.
  if (!by(`${id}-wrong`)) return;
  const fold = by(id).closest('details');
  if (sentence && fold) fold.open = true;
  by(id).setAttribute('aria-invalid', String(Boolean(sentence)));
  by(`${id}-wrong`).replaceChildren(...ticked(sentence));
  by(`${id}-wrong`).hidden = !sentence;
}

/** What to do after the session has ended. */
const signInAgain = (why, label) => `${why} in another tab, then press ${label} again. The key pair is still here.`;

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
  const response = await fetch(`${form.dataset.keys}/proof-challenge`, {
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
async function renewSession(form, ended, label) {
  const response = await fetch(`${form.dataset.keys}/new`, { headers: { accept: 'application/json' } });
  if (!response.ok) return response.status === 401 ? ended : (await response.json()).detail;
  const { csrf, account, needs_password: needsPassword } = await response.json();
  if (account !== form.dataset.account) {
    return signInAgain(`${account} is signed in now. Sign in as ${form.dataset.account}`, label);
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
  const hint = by('generate-hint');
  const isOwn = form.dataset.own === 'true';
  const label = add.textContent;
  const ended = signInAgain('Your session has ended. Sign in', label);
  let pair;
  let file;
  /** What a new pair has replaced, as a sentence. */
  let replaced = '';
  /** Under which names private keys were downloaded. */
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
  // A browser may fill the fields in when it loads the page again. It cannot bring the private key back.
  const wake = () => { add.disabled = !(pair && title.value.trim()); };
  key.value = '';
  title.addEventListener('input', wake);
  wake();

  const tellFile = () => {
    hint.textContent = (file.name
      ? `The private key was downloaded as ${file.name}. Keyward does not have it. If the file did not arrive, download it again or copy it before you add the key.`
      : 'The key pair is generated. Keyward does not have the private key: it downloads when you add the key. You can also download or copy it now.')
      + replaced;
    by('generate-download').textContent = file.name ? 'Download again' : 'Download now';
    by('generate-copied').textContent = '';
    by('generate-file').classList.add('made');
    by('generate-save').hidden = false;
  };
  const download = () => {
    if (file.name) {
      file.download();
    } else {
      file.download(fileName(title.value, downloaded));
      downloaded.push(file.name);
    }
    tellFile();
  };

  by('generate-button').addEventListener('click', async () => {
    refuse('');
    if (isOwn && !title.reportValidity()) return;
    let made;
    try {
      made = await makePair();
    } catch {
      const paste = by('paste');
      copyEntered(form, paste);
      tellTerminal('This browser does not support Ed25519 keys.');
      paste.dispatchEvent(new Event('input'));
      by(by('title').value ? 'public_key' : 'title').focus();
      return;
    }
    if (file) {
      replaced = file.name
        ? ` This replaces the key pair in ${file.name}, which was not added. Delete that file.`
        : ' This replaces the previous key pair.';
    }
    pair = made;
    const comment = title.value.trim().replace(/\s+/g, '-').replace(/[^\x21-\x7e]/g, '') || 'keyward';
    key.value = publicLine(pair.publicKey, comment);
    file = new PrivateKeyFile(privateFile(pair.seed, pair.publicKey, comment, crypto.getRandomValues(new Uint8Array(4))));
    pair.seed.fill(0);
    addEventListener('beforeunload', askBeforeLeaving);
    if (isOwn) download();
    else tellFile();
    wake();
  });
  by('generate-download').addEventListener('click', download);
  copyOnClick(by('generate-copy'), by('generate-copied'), () => file);

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    refuse('');
    add.disabled = true;
    try {
      let response = await post(form, pair);
      let answer = await response.json();
      if (response.status === 403 && answer.code === 'forbidden') {
        // The token is another session's, for instance of one that began in another tab.
        const why = await renewSession(form, ended, label);
        if (why) {
          refuse(why);
          wake();
          return;
        }
        response = await post(form, pair);
        answer = await response.json();
      }
      const added = response.ok ? read(form, answer) : await findAdded(form, answer);
      if (added) {
        if (!file.name) file.download(fileName(form.dataset.rotates ? title.value : added.key.title, downloaded));
        showAdded(form, added, pair, file);
        return;
      }
      if (response.status === 401) {
        refuse(ended);
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

/** What belongs to one form alone. */
const OWN = ['csrf', 'public_key', 'proof', 'confirm_password'];

/** Enters in the other form what was entered in this one, and keeps the texts that are there. */
function copyEntered(from, to) {
  for (const field of [...from.elements].filter(({ name }) => name && !OWN.includes(name))) {
    const isChoice = field.type === 'radio' || field.type === 'checkbox';
    const others = [...to.elements].filter(({ name, value }) => name === field.name && (!isChoice || value === field.value));
    for (const other of others) {
      if (isChoice) other.checked = field.checked;
      else other.value ||= field.value;
    }
  }
  for (const [at, fold] of [...to.querySelectorAll('.fold')].entries()) fold.open = from.querySelectorAll('.fold')[at].open;
}

const readKey = (form, id) => fetch(`${form.dataset.keys}/${id}`, { headers: { accept: 'application/json' } });

/** The key, where it was added before and the answer to that was lost. */
async function findAdded(form, answer) {
  if (form.dataset.rotates) return findSuccessor(form);
  if (answer.code !== 'duplicate_key' || !answer.key) return null;
  const response = await readKey(form, answer.key);
  return response.ok ? { key: await response.json() } : null;
}

/** The successor, where the key was rotated before to the public key in the form. */
async function findSuccessor(form) {
  const rotated = await readKey(form, form.dataset.rotates);
  const { successor } = rotated.ok ? await rotated.json() : {};
  const response = successor ? await readKey(form, successor.id) : { ok: false };
  if (!response.ok) return null;
  const key = await response.json();
  const blob = (line) => line.split(' ')[1];
  return blob(key.public_key) === blob(by('generate-key').value) ? { key, rotation: successor } : null;
}

/** The parts of the answer to a form that added a key. */
const read = (form, answer) => (form.dataset.rotates ? { key: answer.successor, rotation: answer } : { key: answer });

const atUtc = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' });

/** Says when the old key expires. */
function tellOldKey({ pending, ends_at: endsAt }) {
  const end = `${atUtc.format(new Date(endsAt))} UTC`;
  by('added-accepted').textContent = pending ? 'Both keys are accepted.' : 'The old key is revoked.';
  by('added-ends').textContent = `It is accepted until ${end}. Its page shows who still uses it.`;
  by('added-old').hidden = !pending;
}

function showAdded(form, { key, rotation }, pair, file) {
  removeEventListener('beforeunload', askBeforeLeaving);
  by('new-key').hidden = true;
  by('added-title').textContent = key.title;
  by('added-fingerprint').textContent = key.fingerprint;
  if (rotation) tellOldKey(rotation);
  else if (key.limits) by('added-accepted').textContent = 'Its requests are accepted within its limits.';
  const path = `${form.dataset.keys}/${key.id}`;
  if (by('added-open')) by('added-open').href = path;
  for (const place of document.querySelectorAll('[data-file]')) place.textContent = file.name;
  by('added-download').addEventListener('click', () => file.download());
  copyOnClick(by('added-copy'), by('added-copied'), () => file);
  by('added-test').addEventListener('click', async () => {
    const result = by('added-test-result');
    result.hidden = false;
    result.textContent = 'Sending the request …';
    result.textContent = await testKey(pair.signingKey, key.fingerprint).catch(() => 'The server did not respond. Try again.');
  });
  by('added').hidden = false;
  by('added-heading').focus();
  awaitFirstUse(by('first-use'), path);
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
  by('way-paste').checked = true;
  for (const id of ['way-generate', 'generate-tab', 'generate-card']) by(id).hidden = true;
  const caution = document.createElement('p');
  caution.className = 'notice warn';
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
