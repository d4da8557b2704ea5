// The OpenSSH file formats of an Ed25519 key pair (PROTOCOL.key of OpenSSH). Pure: no page, no network.

const text = (string) => new TextEncoder().encode(string);
const uint32 = (number) => Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number);

function join(...parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const field = (bytes) => join(uint32(bytes.length), bytes);
const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));

/** The public key as it stands on the wire. */
export const publicBlob = (publicKey) => join(field(text('ssh-ed25519')), field(publicKey));

/** The line in a `.pub` file. */
export const publicLine = (publicKey, comment) =>
  `ssh-ed25519 ${base64(publicBlob(publicKey))}${comment ? ` ${comment}` : ''}`;

/** The private key file: no cipher, no passphrase. */
export function privateFile(seed, publicKey, comment, check) {
  const secret = join(
    check, check,
    field(text('ssh-ed25519')), field(publicKey), field(join(seed, publicKey)), field(text(comment)),
  );
  const padding = Uint8Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, at) => at + 1);
  const none = field(text('none'));
  const blob = join(
    text('openssh-key-v1\0'), none, none, uint32(0), uint32(1),
    field(publicBlob(publicKey)), field(join(secret, padding)),
  );
  const lines = base64(blob).match(/.{1,70}/g).join('\n');
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

const sha = async (algorithm, bytes) => new Uint8Array(await crypto.subtle.digest(algorithm, bytes));

/** What a proof signs: five lines, with the fingerprint as `ssh-keygen -l` prints it. */
export async function proofMessage({ namespace, public_url: publicUrl, owner, challenge }, publicKey) {
  const fingerprint = `SHA256:${base64(await sha('SHA-256', publicBlob(publicKey))).replace(/=+$/, '')}`;
  return `${[namespace, publicUrl, owner, fingerprint, challenge].join('\n')}\n`;
}

/** An armoured SSHSIG (PROTOCOL.sshsig of OpenSSH), as `ssh-keygen -Y sign` makes it. */
export async function sshSignature({ publicKey, signingKey }, namespace, message) {
  const context = join(field(text(namespace)), uint32(0), field(text('sha512')));
  const signed = join(text('SSHSIG'), context, field(await sha('SHA-512', text(message))));
  const signature = new Uint8Array(await crypto.subtle.sign('Ed25519', signingKey, signed));
  const blob = join(
    text('SSHSIG'), uint32(1), field(publicBlob(publicKey)), context,
    field(join(field(text('ssh-ed25519')), field(signature))),
  );
  const lines = base64(blob).match(/.{1,70}/g).join('\n');
  return `-----BEGIN SSH SIGNATURE-----\n${lines}\n-----END SSH SIGNATURE-----\n`;
}

/** Whether a text holds a private key in a form that people paste. */
export const isPrivateKey = (pasted) =>
  /PRIVATE KEY|PuTTY-User-Key-File|Private-Lines:/i.test(pasted)
  || pasted.replace(/\s/g, '').includes('b3BlbnNzaC1rZXktdjE')
  || (/^\s*[{[]/.test(pasted) && /"(d|p|q|dp|dq|qi|oth|k)"\s*:/.test(pasted));
