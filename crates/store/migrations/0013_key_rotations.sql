-- Rotations of keys. The expiry of the predecessor is in `api_keys`, so that nodes of the previous release honour it, too. No
-- key is rotated while such a node is registered, because it revokes a key without the successors that it registered.
-- `accepted_before` is the number of accepted requests with the predecessor on the day of the rotation, until then.
CREATE TABLE key_rotations (
    successor_id TEXT NOT NULL PRIMARY KEY REFERENCES api_keys (id),
    predecessor_id TEXT NOT NULL REFERENCES api_keys (id),
    rotated_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    -- NULL: the predecessor had no expiry.
    expires_before BIGINT,
    accepted_before BIGINT NOT NULL,
    -- NULL: the rotation was not undone.
    undone_at BIGINT
);
-- A key has one successor. A rotation that was undone does not count.
CREATE UNIQUE INDEX key_rotations_pending ON key_rotations (predecessor_id) WHERE undone_at IS NULL;
CREATE INDEX key_rotations_by_predecessor ON key_rotations (predecessor_id);
