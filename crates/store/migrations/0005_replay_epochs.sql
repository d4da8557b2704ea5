-- Epochs tell which replay rows are old without comparing the wall clocks of different machines: a row is written in the epoch
-- of its time, and a node deletes those of epochs that it saw end long enough ago. NULL: written by the release before.
ALTER TABLE installation ADD COLUMN replay_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE replays ADD COLUMN epoch BIGINT;
CREATE INDEX replays_without_epoch ON replays (key_id) WHERE epoch IS NULL;
