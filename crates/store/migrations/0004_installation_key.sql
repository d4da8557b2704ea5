-- The public half of the installation's key: whoever opens the database with another key is told. NULL until somebody has
-- opened it with this release.
ALTER TABLE installation ADD COLUMN public_key BYTEA;
