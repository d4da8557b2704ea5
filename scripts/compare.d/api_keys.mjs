// `api_keys.mjs MODE DIRECTORY COUNT PORT`: answers reads with an API key of better-auth. MODE is `database`, where each
// verification reads and writes SQLite, or `secondary-storage`, where better-auth has the keys in a Map of this process, in the
// place of Redis. Writes the API keys to DIRECTORY/secrets before it listens.
import { writeFileSync } from "node:fs";
import { apiKey } from "@better-auth/api-key";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import Database from "better-sqlite3";
import Fastify from "fastify";

const [mode, directory, count, port] = process.argv.slice(2);
const database = new Database(`${directory}/auth.db`);
database.pragma("journal_mode = WAL");
database.pragma("synchronous = NORMAL");
const stored = new Map();
const options = {
  database,
  baseURL: `http://127.0.0.1:${port}`,
  secret: "a secret of a benchmark, which protects nothing",
  logger: { disabled: true },
  telemetry: { enabled: false },
  // Keyward's limits are off too. The default is ten requests a day for each key.
  plugins: [apiKey({ storage: mode, rateLimit: { enabled: false }, defaultPrefix: "bench_" })],
  emailAndPassword: { enabled: true },
};
if (mode === "secondary-storage") {
  options.secondaryStorage = {
    get: async (key) => stored.get(key) ?? null,
    set: async (key, value) => void stored.set(key, value),
    delete: async (key) => void stored.delete(key),
  };
}
const { runMigrations } = await getMigrations(options);
await runMigrations();
const auth = betterAuth(options);
const { user } = await auth.api.signUpEmail({
  body: { name: "A", email: "a@example.com", password: "a password of a benchmark" },
});
const secrets = [];
for (let number = 0; number < Number(count); number += 1) {
  const made = await auth.api.createApiKey({ body: { userId: user.id, expiresIn: 24 * 60 * 60 } });
  secrets.push(made.key);
}
writeFileSync(`${directory}/secrets`, secrets.join("\n"));

const app = Fastify();
app.get("/api/v1/me", async (request, reply) => {
  const { valid, key } = await auth.api.verifyApiKey({ body: { key: request.headers["x-api-key"] ?? "" } });
  if (!valid) {
    return reply.code(401).send({ error: "unauthenticated" });
  }
  return { key: key.id, name: "A", email: "a@example.com" };
});
await app.listen({ host: "127.0.0.1", port: Number(port) });
