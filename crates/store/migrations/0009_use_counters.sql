-- Requests with a key in an hour or a day, by result. Every node adds to the same rows. A key has at most 48 rows for hours and
-- 90 for days: older ones are deleted. They are neither audited nor part of the Merkle tree, and no change bumps the version.
-- `starts_at` is the start of the hour or day in UTC.
CREATE TABLE use_counters (
    key_id TEXT NOT NULL REFERENCES api_keys (id),
    span TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    bad_signature BIGINT NOT NULL,
    key_revoked BIGINT NOT NULL,
    key_expired BIGINT NOT NULL,
    key_disabled BIGINT NOT NULL,
    owner_disabled BIGINT NOT NULL,
    wrong_time BIGINT NOT NULL,
    replayed BIGINT NOT NULL,
    host_not_listed BIGINT NOT NULL,
    invalid BIGINT NOT NULL,
    forbidden BIGINT NOT NULL,
    rate_limited BIGINT NOT NULL,
    PRIMARY KEY (key_id, span, starts_at)
);
CREATE INDEX use_counters_by_start ON use_counters (span, starts_at);
