-- Policies for keys. Additive only: nodes of the previous release go on writing while they are replaced. No policy is set
-- while such a node is registered. While there is a policy, the `public_key` of the installation begins with a byte that the
-- previous release cannot read. A node of that release that was evicted and returns stops verifying requests, instead of
-- accepting keys that a policy refuses.
CREATE TABLE key_policies (
    -- The id of a workspace, or `installation`.
    place TEXT NOT NULL PRIMARY KEY,
    -- The form is that of `domain::policy::PolicyRules`.
    rules TEXT NOT NULL,
    -- The rules for the keys that existed at `set_at`, until `enforced_from`.
    rules_before TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    enforced_from BIGINT NOT NULL
);
-- When a disabled key was last enabled. From then on, it is counted as unused anew. NULL: it never was, or a node of the
-- previous release enabled it.
ALTER TABLE api_keys ADD COLUMN enabled_at BIGINT;
