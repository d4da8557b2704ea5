/** What runtimes do differently. */

/** Node 18 has WebCrypto in this module alone. */
const NODE_CRYPTO = 'node:crypto';

/**
 * WebCrypto of this runtime.
 *
 * @throws Error in a page that was loaded over plain HTTP, where browsers have none.
 */
export async function webCrypto(): Promise<Crypto> {
  const crypto: Crypto | undefined = globalThis.crypto ?? (await nodeCrypto());
  if (crypto?.subtle === undefined) {
    throw new Error(
      'this page has no WebCrypto, which browsers offer over HTTPS and on localhost only: load it over HTTPS',
    );
  }
  return crypto;
}

async function nodeCrypto(): Promise<Crypto | undefined> {
  if (!('process' in globalThis)) return undefined;
  // The name is a variable so that bundlers for browsers leave it alone.
  const module: { webcrypto: Crypto } = await import(/* webpackIgnore: true */ /* @vite-ignore */ NODE_CRYPTO);
  return module.webcrypto;
}
