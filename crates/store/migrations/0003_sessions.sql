-- People at the web pages. The token in their cookie is kept as its SHA-256 only; a session that ended has no row.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    token_hash BYTEA NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    address TEXT,
    user_agent TEXT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, id);

-- The link that makes the first operator: at most one row.
CREATE TABLE set_up_links (
    token_hash BYTEA PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
