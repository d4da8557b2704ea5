-- The one row that every change locks first. Signatures that were made before `signatures_from` are void. `audit_range` is the compact range of the Merkle tree over the audit log;
-- the change feed is complete from `feed_start` on.
CREATE TABLE installation (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    installation_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    feed_start BIGINT NOT NULL,
    audit_size BIGINT NOT NULL,
    audit_range BYTEA NOT NULL,
    token_epoch BIGINT NOT NULL,
    signatures_from BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- `leaf_hash` says which event was changed where the root alone would only say that one was.
CREATE TABLE audit_events (
    seq BIGINT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    at BIGINT NOT NULL,
    workspace_id TEXT,
    principal TEXT NOT NULL,
    key_id TEXT,
    action TEXT NOT NULL,
    target TEXT,
    address TEXT,
    detail TEXT NOT NULL,
    leaf_hash BYTEA NOT NULL
);
CREATE INDEX audit_events_workspace ON audit_events (workspace_id, seq);
CREATE INDEX audit_events_principal ON audit_events (principal, seq);
CREATE INDEX audit_events_key ON audit_events (key_id, seq);
CREATE INDEX audit_events_action ON audit_events (action, seq);

-- The change feed: what the in-memory directory must load again, by version.
CREATE TABLE changes (
    version BIGINT NOT NULL,
    subject TEXT NOT NULL,
    PRIMARY KEY (version, subject)
);

CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    software_version TEXT NOT NULL,
    lease_ms BIGINT NOT NULL,
    acknowledged_version BIGINT NOT NULL,
    registered_at BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL
);

-- First answers of signed writes. No foreign key: what was answered outlives what it was answered about.
CREATE TABLE replays (
    replay_key BYTEA NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL,
    nonce TEXT,
    expires_at BIGINT NOT NULL,
    status BIGINT NOT NULL,
    body BYTEA NOT NULL,
    UNIQUE (key_id, nonce)
);
CREATE INDEX replays_expires_at ON replays (expires_at);
