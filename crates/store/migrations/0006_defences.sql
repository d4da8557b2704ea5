-- Additive only: nodes of the previous release go on writing while they are replaced.

-- When the private key signed a proof of this registration. Before this migration, a proof was the only thing that verified a
-- key at the very moment of its creation.
ALTER TABLE api_keys ADD COLUMN proven_at BIGINT;
UPDATE api_keys SET proven_at = created_at WHERE verified_at = created_at;
-- When a proof by somebody else ended this registration.
ALTER TABLE api_keys ADD COLUMN displaced_at BIGINT;
-- The versions that registered and revoked a key. NULL: before this migration, by a node of the previous release, or while
-- one was running, which does not report what it verified.
ALTER TABLE api_keys ADD COLUMN registered_version BIGINT;
ALTER TABLE api_keys ADD COLUMN revoked_version BIGINT;
-- The workspaces that the owner was in when the key was revoked, with spaces between.
ALTER TABLE api_keys ADD COLUMN revoked_in TEXT;
CREATE INDEX api_keys_by_revocation ON api_keys (revoked_at, id);

-- After a restore nobody signs in until an operator has confirmed them.
ALTER TABLE users ADD COLUMN sign_in_suspended BOOLEAN NOT NULL DEFAULT FALSE;
-- When the holder of the address followed a link that was mailed to it. NULL: never.
ALTER TABLE users ADD COLUMN email_verified_at BIGINT;

-- When the link was mailed to the invited address. NULL: it was given to the inviter to pass on.
ALTER TABLE invitations ADD COLUMN mailed_at BIGINT;

-- A hash of the settings that have to be the same on every node. NULL: a node of the previous release.
ALTER TABLE nodes ADD COLUMN settings_hash TEXT;

-- The stored answer to a signed write, encrypted under a key that is not in the database. NULL: a node of the previous release
-- wrote the row, and the answer is in `body`.
ALTER TABLE replays ADD COLUMN sealed_body BYTEA;

-- What somebody set in motion is looked for when their rights end.
CREATE INDEX invitations_by_writer ON invitations (created_by);
CREATE INDEX api_keys_by_registrar ON api_keys (created_by);

-- Whether the node writes down, before it acknowledges a revocation, that it verified with the revoked key.
ALTER TABLE nodes ADD COLUMN reports_use BOOLEAN NOT NULL DEFAULT FALSE;
-- Nodes that are gone and cannot be asked any more: the version at that time, and what each had acknowledged.
CREATE TABLE lost_nodes (
    version BIGINT NOT NULL,
    acknowledged_version BIGINT NOT NULL,
    PRIMARY KEY (version, acknowledged_version)
);
