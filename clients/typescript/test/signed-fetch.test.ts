/** What goes over the wire: bodies, repetitions, redirects, refusals. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';

import {
  ClockSkewError,
  KeyError,
  type PrivateKey,
  readKey,
  SignError,
  signedFetch,
  type SignedFetchOptions,
} from 'keyward';
import { keyText } from './support/repository.js';
import { type Answer, hangUp, ScriptedServer, status } from './support/scripted-server.js';

const KEY: PrivateKey = await readKey(keyText('openssh-ed25519'));
const START = Date.parse('2026-01-02T03:04:05Z');

/** A server with this script, and a fetch whose clock stands still except while it waits, which takes no time. */
async function setUp(t: TestContext, script: readonly Answer[], options: SignedFetchOptions = {}) {
  const server = await ScriptedServer.start(...script);
  t.after(() => server.stop());
  const waits: number[] = [];
  let now = START;
  const request = signedFetch(KEY, {
    now: () => now,
    random: () => 0,
    wait: async (milliseconds) => {
      waits.push(milliseconds);
      now += milliseconds;
    },
    ...options,
  });
  return { server, waits, request };
}

const digest = (body: string | Buffer): string => `sha-256=:${createHash('sha256').update(body).digest('base64')}:`;

test('bodies of every kind arrive with their digest', async (t) => {
  const { server, request } = await setUp(t, [status(204)]);
  const form = new FormData();
  form.set('title', 'Straße');
  form.set('file', new Blob(['abc'], { type: 'text/csv' }), 'labels.csv');
  const stream = (...chunks: string[]): ReadableStream<Uint8Array> =>
    new ReadableStream({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk));
        controller.close();
      },
    });
  const bodies: [BodyInit | null, RegExp | undefined, string | undefined][] = [
    ['{"label": "Bücherei"}', /^text\/plain/, '{"label": "Bücherei"}'],
    [new TextEncoder().encode('bytes'), undefined, 'bytes'],
    [new TextEncoder().encode('array buffer').buffer, undefined, 'array buffer'],
    [new Blob(['blob'], { type: 'text/csv' }), /^text\/csv$/, 'blob'],
    [new URLSearchParams({ a: 'b c' }), /^application\/x-www-form-urlencoded/, 'a=b+c'],
    [form, /^multipart\/form-data; boundary=/, undefined],
    [stream('in ', 'two'), undefined, 'in two'],
    ['', /^text\/plain/, ''],
    [null, undefined, ''],
  ];
  for (const [body, type, sent] of bodies) {
    const response = await request(`${server.origin}/labels`, { method: 'POST', body });
    assert.equal(response.status, 204);
    const received = server.received.at(-1);
    assert.ok(received);
    assert.equal(received.headers['content-digest'], digest(received.body));
    assert.match(
      String(received.headers['signature-input']),
      /^keyward=\("@method" "@authority" "@target-uri" "content-digest"\);/,
    );
    if (sent !== undefined) assert.equal(received.body.toString(), sent);
    if (type === undefined) assert.equal(received.headers['content-type'], undefined);
    else assert.match(String(received.headers['content-type']), type);
  }
  assert.match(server.received[5]?.body.toString() ?? '', /Straße[^]*filename="labels.csv"[^]*abc/);
});

test('a Request, a URL and a text can be asked for, and methods keep their rules', async (t) => {
  const { server, request } = await setUp(t, [status(204)]);
  await request(new Request(`${server.origin}/a`, { method: 'PUT', body: 'x', headers: { 'X-Tag': '1' } }));
  await request(new Request(`${server.origin}/b`, { method: 'PUT', body: 'x' }), { method: 'PATCH', body: 'y' });
  await request(new URL(`${server.origin}/c#part`), { method: 'delete' });
  await request(`${server.origin}/d`);
  const seen = server.received.map(({ method, url, body, headers }) => [
    method,
    url,
    body.toString(),
    headers['content-digest'] !== undefined,
  ]);
  assert.deepEqual(seen, [
    ['PUT', '/a', 'x', true],
    ['PATCH', '/b', 'y', true],
    ['DELETE', '/c', '', true],
    ['GET', '/d', '', false],
  ]);
  assert.equal(server.received[0]?.headers['x-tag'], '1');
});

test('a stream with a digest of its own is sent as it is, once', async (t) => {
  const { server, request, waits } = await setUp(t, [status(503)], { keywardUrl: 'http://127.0.0.1' });
  const body = new Blob(['large']).stream();
  const headers = { 'Content-Digest': digest('large') };
  const response = await request(`${server.origin}/files`, { method: 'POST', body, headers });
  assert.equal(response.status, 503);
  assert.deepEqual(
    server.received.map((received) => received.body.toString()),
    ['large'],
  );
  assert.equal(server.received[0]?.headers['content-digest'], digest('large'));
  assert.equal(server.received[0]?.headers['transfer-encoding'], 'chunked');
  assert.deepEqual(waits, []);
});

test('a digest that does not fit the bytes at hand is replaced', async (t) => {
  const { server, request } = await setUp(t, [status(204)]);
  const { createSignature } = await import('keyward');
  const headers = { 'content-digest': digest('other'), signature: 'x=:AA==:', 'signature-input': 'x=()' };
  const signature = await createSignature({ method: 'POST', url: server.origin, headers, body: 'mine' }, KEY);
  assert.equal(signature.headers['content-digest'], digest('mine'));
  await request(server.origin, { headers: { signature: 'x=:AA==:', 'signature-input': 'x=()' } });
  assert.match(String(server.received[0]?.headers['signature-input']), /^keyward=\([^,]*$/);
});

test('reads are sent again with a signature of their own', async (t) => {
  const { server, request, waits } = await setUp(t, [
    hangUp,
    status(503),
    status(429, { 'Retry-After': '7' }),
    status(200, {}, 'here'),
  ]);
  const response = await request(`${server.origin}/me`);
  assert.equal(await response.text(), 'here');
  assert.deepEqual(waits, [250, 500, 7000]);
  assert.equal(new Set(server.all('signature')).size, 4);
});

// 421 is left out: the Fetch standard itself has it sent again on another connection.
test('what does not pass is returned at once', async (t) => {
  for (const code of [200, 400, 401, 403, 404, 409, 413, 500, 501]) {
    const { server, request, waits } = await setUp(t, [status(code, { 'Retry-After': '1' })]);
    assert.equal((await request(server.origin)).status, code);
    assert.deepEqual([server.received.length, waits.length], [1, 0]);
  }
});

test('after the last attempt comes what the server said, or what went wrong', async (t) => {
  const refused = await setUp(t, [status(502)], { retries: 2 });
  assert.equal((await refused.request(refused.server.origin)).status, 502);
  assert.equal(refused.server.received.length, 3);
  const broken = await setUp(t, [hangUp], { retries: 1 });
  await assert.rejects(broken.request(broken.server.origin), TypeError);
  assert.equal(broken.server.received.length, 2);
  const never = await setUp(t, [status(502)], { retries: 0 });
  assert.equal((await never.request(never.server.origin)).status, 502);
  assert.equal(never.server.received.length, 1);
  const long = await setUp(t, [status(503, { 'Retry-After': '31' })]);
  assert.equal((await long.request(long.server.origin)).status, 503);
  assert.equal(long.server.received.length, 1);
});

test('a write to Keyward is sent again as it was', async (t) => {
  const { server, waits } = await setUp(t, [hangUp, status(503), status(429), status(201)]);
  const options = { keywardUrl: server.origin, random: () => 0, wait: async (pause: number) => void waits.push(pause) };
  const response = await signedFetch(KEY, options)(`${server.origin}/api/v1/projects`, {
    method: 'POST',
    body: '{"a": 1}',
  });
  assert.equal(response.status, 201);
  assert.deepEqual(waits, [250, 500, 1000]);
  for (const name of ['signature', 'signature-input', 'content-digest'])
    assert.equal(new Set(server.all(name)).size, 1, name);
  assert.deepEqual(
    server.received.map(({ body }) => body.toString()),
    Array(4).fill('{"a": 1}'),
  );
});

test('a write to another server, or beside the path of Keyward, is sent once', async (t) => {
  for (const keywardUrl of [undefined, 'http://127.0.0.1:9', 'https://127.0.0.1', 'PREFIX']) {
    for (const answer of [hangUp, status(503), status(429), status(502)]) {
      const { server } = await setUp(t, [answer]);
      const url = keywardUrl === 'PREFIX' ? `${server.origin}/keyward` : keywardUrl;
      const wait = async (): Promise<never> => assert.fail('it waits');
      const request = signedFetch(KEY, url === undefined ? { wait } : { keywardUrl: url, wait });
      const response = await request(`${server.origin}/keywards`, { method: 'DELETE' }).catch(
        (error: unknown) => error,
      );
      assert.ok(answer === hangUp ? response instanceof TypeError : response instanceof Response);
      assert.equal(server.received.length, 1);
    }
  }
});

test('a write is not sent again once its signature has expired', async (t) => {
  const server = await ScriptedServer.start(status(503, { 'Retry-After': '25' }));
  t.after(() => server.stop());
  let now = START;
  const wait = async (pause: number): Promise<void> => void (now += pause);
  const request = signedFetch(KEY, { keywardUrl: server.origin, retries: 9, now: () => now, wait });
  assert.equal((await request(server.origin, { method: 'PUT' })).status, 503);
  assert.equal(server.received.length, 3);
  assert.equal(now - START, 50_000);
});

test('an abort ends the request, and the wait for the next one', async (t) => {
  const server = await ScriptedServer.start(status(503, { 'Retry-After': '20' }));
  t.after(() => server.stop());
  const controller = new AbortController();
  const answered = signedFetch(KEY, {
    fetch: async (...args) => {
      const response = await fetch(...args);
      setImmediate(() => controller.abort());
      return response;
    },
  })(server.origin, { signal: controller.signal });
  await assert.rejects(answered, { name: 'AbortError' });
  assert.equal(server.received.length, 1);
  await assert.rejects(signedFetch(KEY)(server.origin, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.equal(server.received.length, 1);
});

test('a redirect is not followed', async (t) => {
  for (const code of [301, 302, 303, 307, 308]) {
    const { server, request } = await setUp(t, [status(code, { Location: '/elsewhere' })]);
    const response = await request(server.origin, { redirect: 'follow' });
    assert.deepEqual([response.status, response.headers.get('location')], [code, '/elsewhere']);
    assert.equal(server.received.length, 1);
    await assert.rejects(request(server.origin, { redirect: 'error' }), TypeError);
    assert.equal(server.received.length, 2);
  }
});

test('a redirect within the origin is followed with another signature if that is asked for', async (t) => {
  for (const [code, method, expected] of [
    [301, 'POST', 'GET'],
    [302, 'POST', 'GET'],
    [303, 'PUT', 'GET'],
    [307, 'POST', 'POST'],
    [308, 'PUT', 'PUT'],
    [302, 'DELETE', 'DELETE'],
  ] as const) {
    const { server, request } = await setUp(t, [status(code, { Location: '/there?x=1' }), status(200)], {
      redirects: 'same-origin',
    });
    const headers = { 'Content-Type': 'application/json', 'Keyward-Workspace': 'acme' };
    const response = await request(`${server.origin}/here`, { method, body: '{}', headers });
    assert.equal(response.status, 200);
    const [first, second] = server.received;
    assert.deepEqual([second?.method, second?.url], [expected, '/there?x=1']);
    assert.notEqual(second?.headers['signature'], first?.headers['signature']);
    assert.notEqual(nonceOf(second?.headers['signature-input']), nonceOf(first?.headers['signature-input']));
    assert.equal(second?.body.toString(), expected === 'GET' ? '' : '{}');
    assert.equal(second?.headers['content-type'], expected === 'GET' ? undefined : 'application/json');
    assert.equal(second?.headers['content-digest'], expected === 'GET' ? undefined : digest('{}'));
    assert.equal(second?.headers['keyward-workspace'], 'acme');
  }
});

test('a redirect is signed as it is sent', async (t) => {
  const urls: string[] = [];
  const { server, request } = await setUp(t, [status(307, { Location: '/there?#part' }), status(200)], {
    redirects: 'same-origin',
    fetch: (input, init) => {
      if (input instanceof Request) urls.push(input.url);
      return fetch(input, init);
    },
  });
  await request(`${server.origin}/here?`);
  // The `?` of an empty query is never sent, so it is not signed.
  assert.deepEqual(urls, [`${server.origin}/here`, `${server.origin}/there`]);
  assert.deepEqual(
    server.received.map(({ url }) => url),
    ['/here', '/there'],
  );
});

test('a redirect to another origin is returned, and the end of a circle is an error', async (t) => {
  const other = await ScriptedServer.start(status(200));
  t.after(() => other.stop());
  const away = await setUp(t, [status(307, { Location: `${other.origin}/` })], { redirects: 'same-origin' });
  assert.equal((await away.request(away.server.origin)).status, 307);
  assert.equal(other.received.length, 0);
  const circle = await setUp(t, [status(302, { Location: '/again' })], { redirects: 'same-origin' });
  await assert.rejects(circle.request(circle.server.origin), /redirected more than 20 times/);
  assert.equal(circle.server.received.length, 21);
  const manual = await setUp(t, [status(302, { Location: '/again' })], { redirects: 'same-origin' });
  assert.equal((await manual.request(manual.server.origin, { redirect: 'manual' })).status, 302);
});

test('a wrong clock is told, and by how much', async (t) => {
  const date = (offset: number): string => new Date(START + offset * 1000).toUTCString();
  const problem = (reason: string, offset: number): string =>
    JSON.stringify({
      title: 'Not authenticated',
      status: 401,
      code: 'unauthenticated',
      detail: 'x',
      reason,
      server_time: new Date(START + offset * 1000).toISOString(),
    });
  const json = { 'Content-Type': 'application/problem+json' };
  const acceptSignature = 'keyward=("@method" "@authority" "@target-uri");created;expires;nonce;keyid;tag="keyward"';
  const cases: [Answer, number | undefined][] = [
    [status(401, { ...json, Date: date(-900) }, problem('early', -400)), 400],
    [status(401, { ...json, Date: date(0) }, problem('stale', 412)), -412],
    // Through a proxy that drops the body.
    [status(401, { 'Keyward-Reason': 'stale', Date: date(3600) }), -3600],
    // An unknown key, or one that nobody may know of.
    [status(401, { 'Accept-Signature': acceptSignature, Date: date(-100) }), 100],
    [status(401, { 'Accept-Signature': acceptSignature, Date: date(-24) }), undefined],
    [status(401, { ...json, Date: date(-900) }, problem('key_expired', -900)), undefined],
    // Delayed on its way: both clocks are right.
    [status(401, json, problem('stale', 20)), undefined],
    [status(401, { Date: date(-900) }), undefined],
    [status(403, { 'Keyward-Reason': 'stale', Date: date(-900) }), undefined],
  ];
  for (const [answer, skew] of cases) {
    const { server, request } = await setUp(t, [answer]);
    const result = await request(server.origin).catch((error: unknown) => error);
    if (skew === undefined) {
      assert.ok(result instanceof Response);
      await result.text();
    } else {
      assert.ok(result instanceof ClockSkewError, String(result));
      assert.equal(result.skewSeconds, skew);
      assert.equal(result.response.status, 401);
      assert.match(result.message, skew > 0 ? new RegExp(`${skew} s ahead of`) : new RegExp(`${-skew} s behind`));
      await result.response.text();
    }
  }
});

test('what a runtime has of its own reaches its fetch', async (t) => {
  const server = await ScriptedServer.start(status(204));
  t.after(() => server.stop());
  const seen: unknown[] = [];
  const request = signedFetch(KEY, {
    fetch: (input, init) => {
      seen.push(init);
      return fetch(input, init);
    },
  });
  const init: RequestInit & { next: { revalidate: number } } = {
    method: 'POST',
    body: 'x',
    cache: 'no-store',
    next: { revalidate: 1 },
  };
  await request(server.origin, init);
  assert.deepEqual(seen, [{ cache: 'no-store', next: { revalidate: 1 } }]);
});

test('every signature can be seen', async (t) => {
  const bases: string[] = [];
  const { server, request } = await setUp(t, [hangUp, status(200)], { onSign: ({ base }) => bases.push(base) });
  await request(`${server.origin}/me`);
  assert.equal(bases.length, 2);
  for (const [index, input] of server.all('signature-input').entries()) {
    const expected = [
      '"@method": GET',
      `"@authority": ${server.origin.slice('http://'.length)}`,
      `"@target-uri": ${server.origin}/me`,
      `"@signature-params": ${String(input).slice('keyward='.length)}`,
    ];
    assert.equal(bases[index], expected.join('\n'));
  }
});

test('a key may be given as it was found, and what is wrong with it is told when it is used', async (t) => {
  const { server } = await setUp(t, [status(204)]);
  await signedFetch(keyText('pkcs8-p256.pem'))(server.origin);
  assert.match(
    String(server.received[0]?.headers['signature-input']),
    /keyid="SHA256:sz7naMm7mGwZsKyZPB8c0XfxEwxKfOSvHnD1F42N9ho"/,
  );
  await assert.rejects(signedFetch(keyText('openssh-protected'))(server.origin), KeyError);
  assert.equal(server.received.length, 1);
});

test('what cannot be signed is not sent', async (t) => {
  const { server, request } = await setUp(t, [status(204)]);
  const { createSignature } = await import('keyward');
  const get = { method: 'GET', url: 'https://keys.example.com/' };
  for (const [attempt, words] of [
    [() => createSignature({ method: 'GET', url: '/api/v1/me' }, KEY), /no absolute URL/],
    [() => createSignature({ method: 'GET', url: 'ftp://keys.example.com/' }, KEY), /http and https/],
    [
      () => createSignature({ method: 'GET', url: 'https://ann:secret@keys.example.com/' }, KEY),
      /user name or a password/,
    ],
    ...['a/b', 'a b', 'ann@a', 'a?b', 'a#b', 'a:99999'].map(
      (host) => [() => createSignature({ ...get, headers: { host } }, KEY), /`Host`/] as const,
    ),
    [() => createSignature({ ...get, method: 'GET\n"@authority": x' }, KEY), /no name of a method/],
    [() => createSignature(get, KEY, { lifetimeSeconds: 61 }), /1 to 60/],
    [() => createSignature(get, KEY, { lifetimeSeconds: 0 }), /1 to 60/],
    [() => createSignature(get, KEY, { createNonce: () => 'short' }), /nonce has 22 to 128/],
    [() => createSignature(get, { ...KEY, keyId: 'a"b', algorithm: 'ed25519', sign: KEY.sign }), /key id has 1 to 128/],
    [() => createSignature(get, KEY, { coveredHeaders: ['x-tag'] }), /no header `x-tag`/],
    [() => createSignature({ ...get, headers: { 'keyward-workspace': 'Straße' } }, KEY), /has to be ASCII/],
    [() => createSignature(get, KEY, { coveredHeaders: ['x tag'] }), /no name of a header field/],
  ] as const) {
    await assert.rejects(
      attempt,
      (error) => error instanceof SignError && words.test(error.message) && !error.message.includes('secret'),
    );
  }
  await assert.rejects(request('/api/v1/me'), TypeError);
  assert.equal(server.received.length, 0);
});

test('a body that is a value is refused, and nothing is sent', async (t) => {
  const { server, request } = await setUp(t, [status(204)]);
  const { createSignature } = await import('keyward');
  const url = `${server.origin}/labels`;
  for (const body of [{ label: 'car' }, ['car'], new Map([['label', 'car']]), Promise.resolve('car'), Object.create(null)]) {
    await assert.rejects(request(url, { method: 'POST', body }), {
      name: 'TypeError',
      message: /the body is of the type \w+, .*`JSON\.stringify\(body\)`/,
    });
    await assert.rejects(createSignature({ method: 'POST', url, body }, KEY), {
      name: 'SignError',
      message: /`JSON\.stringify\(body\)`/,
    });
  }
  assert.equal(server.received.length, 0);
  const { Readable } = await import('node:stream');
  // No type of `fetch` has it.
  await Reflect.apply(request, undefined, [url, { method: 'POST', body: Readable.from([Buffer.from('stream')]) }]);
  assert.equal(server.received[0]?.body.toString(), 'stream');
});

test('methods are signed as they are sent', async () => {
  const { createSignature } = await import('keyward');
  const url = 'https://keys.example.com/';
  for (const [method, signed, hasDigest] of [
    ['get', 'GET', false],
    ['Post', 'POST', true],
    ['PATCH', 'PATCH', true],
    ['QUERY', 'QUERY', true],
    // No client changes these.
    ['patch', 'patch', true],
    ['Trace-it', 'Trace-it', true],
  ] as const) {
    const { base, headers } = await createSignature({ method, url }, KEY);
    assert.ok(base.startsWith(`"@method": ${signed}\n`), base);
    assert.equal(headers['content-digest'] !== undefined, hasDigest, method);
  }
});

test('a Host field is what counts', async () => {
  const { createSignature } = await import('keyward');
  const headers = { Host: 'Keys.Example.com:8443' };
  const signature = await createSignature({ method: 'GET', url: 'https://127.0.0.1:9/a%2fb?', headers }, KEY);
  assert.match(
    signature.base,
    /"@authority": keys.example.com:8443\n"@target-uri": https:\/\/keys.example.com:8443\/a%2fb\?\n/,
  );
});

function nonceOf(input: string | string[] | undefined): string | undefined {
  return /nonce="([^"]+)"/.exec(String(input))?.[1];
}
