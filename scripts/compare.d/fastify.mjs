// `fastify.mjs KEYS PORT`: answers signed reads, whose signatures it verifies with the npm package http-message-signatures.
// KEYS is a file with a line `KEYID PUBLIC-KEY` for each key, the public key as 32 bytes in base64.
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import Fastify from "fastify";
import signatures from "http-message-signatures";

const [path, port] = process.argv.slice(2);
const keys = new Map(
  readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => {
      const [id, key] = line.split(" ");
      const x = Buffer.from(key, "base64").toString("base64url");
      const publicKey = createPublicKey({ format: "jwk", key: { kty: "OKP", crv: "Ed25519", x } });
      return [id, { id, algs: ["ed25519"], verify: signatures.createVerifier(publicKey, "ed25519") }];
    }),
);
const policy = {
  keyLookup: async ({ keyid }) => keys.get(keyid) ?? null,
  all: true,
  tolerance: 5,
  maxAge: 65,
  requiredParams: ["created", "expires", "nonce", "keyid"],
  requiredFields: ["@method", "@authority", "@target-uri"],
};

const app = Fastify();
app.get("/api/v1/me", async (request, reply) => {
  const message = {
    method: request.method,
    url: `${request.protocol}://${request.headers.host}${request.raw.url}`,
    headers: request.headers,
  };
  let isValid;
  try {
    isValid = await signatures.httpbis.verifyMessage(policy, message);
  } catch {
    isValid = false;
  }
  if (!isValid) {
    return reply.code(401).send({ error: "unauthenticated" });
  }
  return { name: "A", email: "a@example.com" };
});
await app.listen({ host: "127.0.0.1", port: Number(port) });
