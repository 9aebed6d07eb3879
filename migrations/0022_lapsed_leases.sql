-- A relay that stood still for longer than its lease says afterwards that it lives, so that no message is blamed for its death.
--
-- For the operator: adds columns to "subscription" and "parked_message", which it locks for milliseconds, and an index, for which it looks
-- through "parked_message" once. Moves no data. Processes of before go on as they are: they say nothing, and count as before.

ALTER TABLE "holdfast".subscription
  -- Since the last progress: the leases that went to another relay, and whose holders were not heard of since. As many as `stalls` says,
  -- where no process of before has counted beside.
  ADD COLUMN lost_epochs bigint[],
  -- Since the last progress: the leases that ran out under holders that have said since that they live.
  ADD COLUMN lapsed_epochs bigint[];

ALTER TABLE "holdfast".parked_message
  -- Of one that seems to have killed its relays: the leases under which it was being published. Who held one and lives says so in `error`.
  ADD COLUMN killed_epochs bigint[];
CREATE INDEX parked_message_killed ON "holdfast".parked_message (subscription) WHERE killed_epochs IS NOT NULL;
