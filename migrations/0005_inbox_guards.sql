-- Guards of the inbox and of consumers.
--
-- For the operator: replaces functions and adds columns with constant defaults in the schema "holdfast"; locks the tables it
-- changes for milliseconds and moves no data.

-- Messages that were parked because no process had a handler for them, found by those that have one. The words are those of
-- src/inbox/parked-delivery-store.ts.
CREATE INDEX parked_delivery_unhandled ON "holdfast".parked_delivery (consumer, topic)
  WHERE reason = 'no handler' AND next_attempt_at IS NULL AND redrives = 0;
