import { createHash } from "node:crypto";

/** Whether every digest of a Content-Digest header is that of the body. */
export function bodyMatches(contentDigest: string | undefined, body: Uint8Array): boolean {
  return (contentDigest ?? "").split(",").every((member) => {
    const [, name, value] = /^\s*(sha-256|sha-512)=:([A-Za-z0-9+/=]+):\s*$/.exec(member) ?? [];
    return name !== undefined && createHash(name.replace("-", "")).update(body).digest("base64") === value;
  });
}
