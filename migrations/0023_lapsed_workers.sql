-- A worker that stood still for longer than its lease says afterwards that it lives, so that no run is blamed for its death.
--
-- For the operator: adds a column to "worker" and one to "saga_run", which it locks for milliseconds. Moves no data. Processes of before go on
-- as they are: they say nothing, and count as before.

ALTER TABLE "holdfast".worker
  -- Leases that its process had before this one, and that were over without having been given back: it lives.
  ADD COLUMN lapsed uuid[];

ALTER TABLE "holdfast".saga_run
  -- The last dozen of the losses that `lost` counts, by their number: under which lease each was; null: its worker gave it up in good order.
  ADD COLUMN lost_to jsonb;
