-- Workspaces, people, service accounts, projects and keys. Both engines run this text: TEXT, BIGINT, BOOLEAN, BYTEA;
-- ids are their prefixed text, times are microseconds since 1970.

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    password_hash TEXT,
    operator BOOLEAN NOT NULL,
    disabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL
);

-- A deleted workspace keeps its row: its slug is never used again.
CREATE TABLE workspaces (
    id TEXT PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    service_account_quota BIGINT NOT NULL,
    service_account_key_quota BIGINT NOT NULL,
    user_key_quota BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);

CREATE TABLE members (
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    joined_at BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, user_id)
);
CREATE INDEX members_by_user ON members (user_id);

CREATE TABLE invitations (
    id TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    token_hash BYTEA NOT NULL UNIQUE,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    accepted_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX invitations_by_workspace ON invitations (workspace_id, id);

CREATE TABLE service_accounts (
    id TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    address TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    disabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE INDEX service_accounts_by_workspace ON service_accounts (workspace_id, id);

-- Every address that a service account ever had: none is used again.
CREATE TABLE service_account_addresses (
    address TEXT PRIMARY KEY,
    service_account_id TEXT NOT NULL REFERENCES service_accounts (id)
);

CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX projects_by_workspace ON projects (workspace_id, id);

CREATE TABLE project_members (
    project_id TEXT NOT NULL REFERENCES projects (id),
    principal_id TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (project_id, principal_id)
);
CREATE INDEX project_members_by_principal ON project_members (principal_id);

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL,
    title TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    public_key BYTEA NOT NULL,
    disabled BOOLEAN NOT NULL,
    suspended BOOLEAN NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    verified_at BIGINT,
    created_by TEXT NOT NULL,
    created_with TEXT,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    last_used_ip TEXT
);
-- A key exists once in the whole installation; a revoked one that never verified anything frees its place.
CREATE UNIQUE INDEX api_keys_once ON api_keys (fingerprint) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_by_fingerprint ON api_keys (fingerprint);
CREATE INDEX api_keys_by_owner ON api_keys (owner_id, id);
CREATE INDEX api_keys_by_parent ON api_keys (created_with);

CREATE TABLE proof_challenges (
    challenge TEXT PRIMARY KEY,
    principal_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX proof_challenges_by_principal ON proof_challenges (principal_id, expires_at);
