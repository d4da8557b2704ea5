-- Limits of keys. Additive only: nodes of the previous release go on writing while they are replaced.
-- The form is that of `domain::limits::Limits`. NULL: the key has no limits, as every key that the previous release
-- registered. The `public_key` of a key with limits begins with a byte that the previous release cannot read. A node of
-- that release that was evicted and returns stops verifying requests, instead of accepting the key without its limits.
ALTER TABLE api_keys ADD COLUMN limits TEXT;

-- The format that a node knows. NULL: the node is of a release that knows no limits. No limits are set while such a
-- node is registered.
ALTER TABLE nodes ADD COLUMN known_format BIGINT;
