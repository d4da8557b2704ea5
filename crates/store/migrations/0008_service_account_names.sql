-- A service account has a name for people beside the name in its address. Additive only: nodes of the previous release go
-- on writing while they are replaced. NULL: such a node created the account, and the name in its address counts.
ALTER TABLE service_accounts ADD COLUMN display_name TEXT;
UPDATE service_accounts SET display_name = name;
