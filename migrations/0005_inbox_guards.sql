-- Guards of the inbox and of consumers.
--
-- For the operator: replaces functions and adds columns with constant defaults in the schema "holdfast"; locks the tables it
-- changes for milliseconds and moves no data.

-- Messages that were parked because no process had a handler for them, found by those that have one. The words are those of
-- src/inbox/stores/parked-delivery-store.ts.
CREATE INDEX parked_delivery_unhandled ON "holdfast".parked_delivery (consumer, topic)
  WHERE reason = 'no handler' AND next_attempt_at IS NULL AND redrives = 0;

-- The answer as it was given: jsonb puts its keys into another order. Null for rows of before, and of processes of before.
ALTER TABLE "holdfast".idempotency_key ADD COLUMN answer_text text;

-- In a row of its own for each consumer (message_id 00000000-0000-0000-0000-000000000001): the queues that its name stands for, and the
-- broker and the retention of the process that was started last, as JSON.
ALTER TABLE "holdfast".delivery_attempt ADD COLUMN identity text;
