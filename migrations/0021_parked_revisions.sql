-- What a relay has parked can be given another payload: it is kept beside the parked row, and the log stays as it was written.
--
-- For the operator: adds columns to "parked_message" and "subscription" and a trigger to the former, which it locks for milliseconds, and
-- an index, for which it looks through "parked_message" once. Moves no data. Processes of before go on as they are.

ALTER TABLE "holdfast".parked_message
  -- {payload, headers}: what is published in place of what the log has. As text, so that numbers stay as they were given.
  ADD COLUMN revision json,
  -- What next_attempt_at is for the others.
  ADD COLUMN revised_due_at timestamptz,
  -- The lease under which a relay is publishing it, or was when it died; null: none is. Who publishes it has read the revision before.
  ADD COLUMN claim_epoch bigint;
CREATE INDEX parked_message_revised_due ON "holdfast".parked_message (subscription, revised_due_at) WHERE revised_due_at IS NOT NULL;

ALTER TABLE "holdfast".subscription
  -- The last lease whose holder claims what it publishes of what is parked. With another one in force nobody can tell what is being published.
  ADD COLUMN claims_epoch bigint;

-- A relay of before knows nothing of revisions: it would publish what the log has, and take the row out. It takes up what is due by
-- next_attempt_at and what waits behind that, so a revised row is never due by that column, whoever makes it due.
CREATE FUNCTION "holdfast".revised_is_due_apart() RETURNS trigger
  LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.revised_due_at := NEW.next_attempt_at;
  NEW.next_attempt_at := NULL;
  RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION "holdfast".revised_is_due_apart() FROM PUBLIC;
CREATE TRIGGER revised_is_due_apart BEFORE INSERT OR UPDATE ON "holdfast".parked_message FOR EACH ROW
  WHEN (NEW.revision IS NOT NULL AND NEW.next_attempt_at IS NOT NULL)
  EXECUTE FUNCTION "holdfast".revised_is_due_apart();
