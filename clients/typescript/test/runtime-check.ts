/**
 * What every runtime has to do: read all key files, and reach a server with a signature of each kind of key. The tests run
 * it with the package as it is published.
 *
 * Arguments: the folder of the key files, the server's URL, the path to write to, and the key files whose keys the server knows.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

import { KeyError, keyFromFile, readKey, signedFetch } from 'keyward/node';

const [, , folder = '', url = '', target = '', ...known] = process.argv;

interface Entry {
  readonly file: string;
  readonly fingerprint?: string;
}

const index: readonly Entry[] = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8'));
let read = 0;
for (const { file, fingerprint } of index) {
  const found = await readKey(new Uint8Array(readFileSync(join(folder, file)))).then(
    (key) => key.fingerprint,
    (error: unknown) => {
      if (error instanceof KeyError) return undefined;
      throw error;
    },
  );
  if (found !== fingerprint) throw new Error(`${file}: ${found} in place of ${fingerprint}`);
  read += 1;
}

let accepted = 0;
for (const file of known) {
  const request = signedFetch(await keyFromFile(file), { keywardUrl: url });
  const me = await request(`${url}/api/v1/me?`);
  if (me.status !== 200) throw new Error(`${file}: ${me.status} ${await me.text()}`);
  await me.text();
  const written = await request(`${url}${target}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: new Blob([JSON.stringify({ title: `Straße ${file}` })]).stream(),
  });
  if (written.status !== 201) throw new Error(`${file}: ${written.status} ${await written.text()}`);
  await written.text();
  accepted += 1;
}
console.log(JSON.stringify({ read, accepted }));
