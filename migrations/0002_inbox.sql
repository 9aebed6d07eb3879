-- The inbox: what consumers have handled, what they could not handle, and stored answers for repeated HTTP commands.
--
-- For the operator: creates tables in the schema "holdfast" only; takes no lock on existing tables; runs in milliseconds.
-- These tables live in the consumer's own database, beside the rows its handlers write.

-- One row per (consumer, message) that the consumer has taken charge of: committed with its effect, or with its row in
-- parked_delivery, so that one insert tells duplicates of both. Spoken to by src/inbox/stores/inbox-store.ts.
CREATE TABLE "holdfast".inbox (
  consumer   text        NOT NULL,
  message_id uuid        NOT NULL,
  handled_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, message_id)
);
-- Rows come in time order, so a BRIN index serves pruning at almost no cost to inserts.
CREATE INDEX inbox_handled_at ON "holdfast".inbox USING brin (handled_at) WITH (pages_per_range = 32);

-- Messages whose handling gave up, with their whole envelope. Spoken to by src/inbox/stores/parked-delivery-store.ts.
CREATE TABLE "holdfast".parked_delivery (
  consumer        text        NOT NULL,
  message_id      uuid        NOT NULL,
  topic           text        NOT NULL,
  key             text,
  envelope        jsonb       NOT NULL,
  -- failed: its own handling gave up. behind: waits for an earlier message of its key (ordered consumers).
  state           text        NOT NULL CHECK (state IN ('failed', 'behind')),
  reason          text        NOT NULL,
  error           text,
  -- Runs of the handler, in place and parked; and how often it was taken up again since it was parked.
  attempts        integer     NOT NULL DEFAULT 0,
  redrives        integer     NOT NULL DEFAULT 0,
  parked_at       timestamptz NOT NULL DEFAULT now(),
  -- Order among the parked messages of one key.
  position        bigint      GENERATED ALWAYS AS IDENTITY,
  next_attempt_at timestamptz,
  PRIMARY KEY (consumer, message_id)
);
CREATE INDEX parked_delivery_key ON "holdfast".parked_delivery (consumer, key, position);
CREATE INDEX parked_delivery_due ON "holdfast".parked_delivery (consumer, next_attempt_at) WHERE next_attempt_at IS NOT NULL;

-- Attempts marked before they are made, for messages that came back from a consumer that died. The row with the nil UUID says since
-- when an ordered consumer has run. Spoken to by src/inbox/stores/suspect-store.ts.
CREATE TABLE "holdfast".delivery_attempt (
  consumer   text        NOT NULL,
  message_id uuid        NOT NULL,
  attempts   integer     NOT NULL,
  at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, message_id)
);

-- Answers of commands that carry an idempotency key. Spoken to by src/inbox/idempotency/idempotency.ts.
CREATE TABLE "holdfast".idempotency_key (
  key         text        PRIMARY KEY,
  fingerprint text        NOT NULL,
  answer      jsonb,
  created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotency_key_created ON "holdfast".idempotency_key USING brin (created_at);

-- How long a message can come again, as far as the subscriptions in this database tell: the longest retention of the log, in
-- milliseconds; null when there are none or the role may not look. Consumers compare it with their own retention at start.
CREATE FUNCTION "holdfast".redelivery_horizon_ms() RETURNS double precision
  LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT extract(epoch FROM max(retention)) * 1000 FROM "holdfast".subscription);
EXCEPTION WHEN insufficient_privilege THEN
  RETURN NULL;
END $$;
