// `introspection.mjs DIRECTORY COUNT PORT`: an authorization server of oidc-provider, which answers introspections (RFC 7662) of
// opaque tokens. Writes the tokens to DIRECTORY/secrets before it listens. The password of the client `benchmark` is in the
// environment variable CLIENT_SECRET.
import { writeFileSync } from "node:fs";
import { Provider } from "oidc-provider";

const [directory, count, port] = process.argv.slice(2);

// In memory: faster than any database. The adapter of the package, which is for development, forgets all but a thousand entries.
class Adapter {
  constructor(model) {
    this.model = model;
    this.entries = new Map();
  }
  async upsert(id, payload) {
    this.entries.set(id, payload);
  }
  async find(id) {
    return this.entries.get(id);
  }
  async destroy(id) {
    this.entries.delete(id);
  }
  async consume(id) {
    this.entries.get(id).consumed = Math.floor(Date.now() / 1000);
  }
}

const provider = new Provider(`http://127.0.0.1:${port}`, {
  adapter: Adapter,
  clients: [
    {
      client_id: "benchmark",
      client_secret: process.env.CLIENT_SECRET,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
  },
  ttl: { ClientCredentials: 24 * 60 * 60 },
});
const client = await provider.Client.find("benchmark");
const secrets = [];
for (let number = 0; number < Number(count); number += 1) {
  secrets.push(await new provider.ClientCredentials({ client, scope: undefined }).save());
}
writeFileSync(`${directory}/secrets`, secrets.join("\n"));
provider.listen(Number(port), "127.0.0.1");
