-- What a worker runs with, to be shown.
--
-- For the operator: adds a column to "worker", which it locks for milliseconds. Moves no data. Processes of before go on as they are; of them
-- it is not known.

ALTER TABLE "holdfast".worker
  -- {concurrency, waiting, leaseMs, standstillMs, retentionMs, sagas: {"place-order@1": 20}}. Nothing is decided by it.
  ADD COLUMN settings jsonb;
