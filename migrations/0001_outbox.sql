-- The outbox: an append-only log of messages, and what its readers need.
--
-- For the operator: creates tables, functions and one sequence in the schema "holdfast" and touches nothing else.
-- Takes no lock on existing tables. Needs CREATE on the database (for the schema) or a schema made beforehand that the
-- role owns; no superuser, no extension. Runs in milliseconds.
--
-- "holdfast", in double quotes, stands for the configured schema everywhere in these files: the migrator replaces it.

CREATE TABLE "holdfast".outbox (
  -- Which transaction wrote the row. Compared with snapshots by the relay, so it must be the writer's own top-level xid,
  -- and must be assigned BEFORE seq is drawn: write through write_outbox() or send() only.
  xid        xid8        NOT NULL,
  -- The position in the log. CACHE 1, because sequences that cache hand out old numbers late.
  seq        bigint      GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
  id         uuid        NOT NULL,
  topic      text        NOT NULL,
  key        text        CHECK (key <> ''),
  -- 0..1023, from the key: a subscription split into shards gives each shard the lanes with lane % shards = shard.
  lane       smallint    NOT NULL,
  payload    jsonb       NOT NULL,
  -- Envelope attributes beside the columns: schemaversion, source, correlationid, causationid, traceparent, headers.
  headers    jsonb       NOT NULL CHECK (jsonb_typeof(headers) = 'object'),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- The low probe of the relay: rows of late committers, found by their transaction.
CREATE INDEX outbox_xid_seq ON "holdfast".outbox (xid, seq);
CREATE UNIQUE INDEX outbox_id ON "holdfast".outbox (id);

-- 2 = some relay is asleep and wants a NOTIFY, 1 = all are polling. A sequence, because setval is visible at once,
-- outside transactions, and leaves no dead rows behind however often it flips.
CREATE SEQUENCE "holdfast".relay_asleep AS bigint MINVALUE 1 MAXVALUE 2 START 1 CACHE 1;

-- The low ten bits of the first two bytes of sha256(key). src/outbox/lane.ts computes the same.
CREATE FUNCTION "holdfast".lane_of(text) RETURNS smallint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN (('x' || encode(substring(sha256(convert_to($1, 'UTF8')) FROM 1 FOR 2), 'hex'))::bit(16)::integer & 1023)::smallint;

-- RFC 9562 version 7, for writers that bring no id (uuidv7() is in PostgreSQL only from 18 on).
CREATE FUNCTION "holdfast".uuid_v7() RETURNS uuid
  LANGUAGE sql VOLATILE PARALLEL SAFE
  RETURN encode(
    set_bit(set_bit(
      overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6),
      52, 1), 53, 1),
    'hex')::uuid;

-- The writer's doors: one message by parameters, and a batch. They share three duties.
--
-- 1. First the xid, in a statement of its own, then the seqs: a snapshot that does not show this transaction as in
--    progress was then taken before any of its seqs existed.
-- 2. With require_transaction, refuse a statement that is not in an explicit transaction. Nothing in SQL tells that directly,
--    but a transaction that has an xid before this statement has written before. So a call without one writes nothing, takes an
--    xid and answers false: the caller calls again. In an explicit transaction the second call finds the xid of the first
--    and writes; outside, each call is a transaction of its own and the second answers false as well.
-- 3. Wake sleeping relays at commit. SET LOCAL holdfast.wake = 'off' keeps a transaction free of NOTIFY, which a transaction
--    that will be prepared (PREPARE TRANSACTION) must be; the relay then finds the rows at its next idle poll.
CREATE FUNCTION "holdfast".write_message(
  id uuid, topic text, key text, lane smallint, payload jsonb, headers jsonb, require_transaction boolean
) RETURNS boolean
  LANGUAGE plpgsql AS $$
DECLARE
  writer xid8;
BEGIN
  IF require_transaction AND pg_current_xact_id_if_assigned() IS NULL THEN
    PERFORM pg_current_xact_id();
    RETURN false;
  END IF;
  writer := pg_current_xact_id();
  INSERT INTO "holdfast".outbox (xid, id, topic, key, lane, payload, headers)
  VALUES (writer, write_message.id, write_message.topic, write_message.key, write_message.lane, write_message.payload, write_message.headers);
  IF (SELECT last_value FROM "holdfast".relay_asleep) = 2 AND current_setting('holdfast.wake', true) IS DISTINCT FROM 'off' THEN
    PERFORM pg_notify('"holdfast".wake', '');
  END IF;
  RETURN true;
END $$;

-- A JSON array of {id, topic, key, lane, payload, headers}, appended in array order. lane may be left out.
CREATE FUNCTION "holdfast".write_outbox(messages text, require_transaction boolean) RETURNS boolean
  LANGUAGE plpgsql AS $$
DECLARE
  writer xid8;
BEGIN
  IF require_transaction AND pg_current_xact_id_if_assigned() IS NULL THEN
    PERFORM pg_current_xact_id();
    RETURN false;
  END IF;
  writer := pg_current_xact_id();
  INSERT INTO "holdfast".outbox (xid, id, topic, key, lane, payload, headers)
  SELECT writer, m.id, m.topic, m.key, coalesce(m.lane, "holdfast".lane_of(coalesce(m.key, m.id::text))), coalesce(m.payload, 'null'), coalesce(m.headers, '{}')
  FROM json_to_recordset(messages::json) AS m (id uuid, topic text, key text, lane smallint, payload jsonb, headers jsonb);
  IF (SELECT last_value FROM "holdfast".relay_asleep) = 2 AND current_setting('holdfast.wake', true) IS DISTINCT FROM 'off' THEN
    PERFORM pg_notify('"holdfast".wake', '');
  END IF;
  RETURN true;
END $$;

-- For every other language:  SELECT holdfast.send('order.placed', '{"orderId":"o-1"}', key => 'o-1');
-- Call it in the transaction of your domain change. Returns the id of the message.
CREATE FUNCTION "holdfast".send(
  topic text, payload jsonb, key text DEFAULT NULL, headers jsonb DEFAULT '{}', id uuid DEFAULT NULL, version integer DEFAULT 1
) RETURNS uuid
  LANGUAGE plpgsql AS $$
DECLARE
  message_id uuid := coalesce(send.id, "holdfast".uuid_v7());
  attributes jsonb := jsonb_build_object('schemaversion', send.version);
BEGIN
  -- What the library refuses as well: it could not be stored, or no consumer could read it.
  IF send.topic IS NULL OR length(send.topic) > 200 OR send.topic !~ '^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$' THEN
    RAISE EXCEPTION 'holdfast.send: % is not a topic', coalesce(quote_literal(send.topic), 'NULL') USING ERRCODE = '22023',
      HINT = 'A topic is segments of A-Z a-z 0-9 _ - joined by dots, at most 200 characters.';
  ELSIF send.payload IS NULL THEN
    RAISE EXCEPTION 'holdfast.send: the payload is NULL' USING ERRCODE = '22023', HINT = 'Send ''null''::jsonb for a JSON null.';
  ELSIF send.key = '' OR octet_length(send.key) > 1024 THEN
    RAISE EXCEPTION 'holdfast.send: the key is empty or over 1024 bytes' USING ERRCODE = '22023', HINT = 'Send NULL for a message without order.';
  ELSIF send.version IS NULL OR send.version < 1 THEN
    RAISE EXCEPTION 'holdfast.send: the version must be a whole number from 1 on' USING ERRCODE = '22023';
  ELSIF jsonb_typeof(send.headers) <> 'object' OR jsonb_path_exists(send.headers, '$.* ? (@.type() != "string")') THEN
    RAISE EXCEPTION 'holdfast.send: headers must be an object of texts' USING ERRCODE = '22023';
  END IF;
  IF send.headers IS NOT NULL AND send.headers <> '{}' THEN
    attributes := attributes || jsonb_build_object('headers', send.headers);
  END IF;
  PERFORM "holdfast".write_message(message_id, send.topic, send.key, "holdfast".lane_of(coalesce(send.key, message_id::text)),
    send.payload, attributes, false);
  RETURN message_id;
END $$;

-- Messages to be written to the outbox later (deliverAt, delay). Small: rows leave when they are due.
CREATE TABLE "holdfast".scheduled_message (
  id         uuid        PRIMARY KEY,
  due_at     timestamptz NOT NULL,
  topic      text        NOT NULL,
  key        text        CHECK (key <> ''),
  payload    jsonb       NOT NULL,
  headers    jsonb       NOT NULL CHECK (jsonb_typeof(headers) = 'object'),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX scheduled_message_due ON "holdfast".scheduled_message (due_at, id);

-- A JSON array of {id, topic, key, payload, headers} with due_at or delay_ms (milliseconds from now, on this server's clock).
-- require_transaction as in write_message.
CREATE FUNCTION "holdfast".schedule_messages(messages text, require_transaction boolean) RETURNS boolean
  LANGUAGE plpgsql AS $$
BEGIN
  IF require_transaction AND pg_current_xact_id_if_assigned() IS NULL THEN
    PERFORM pg_current_xact_id();
    RETURN false;
  END IF;
  INSERT INTO "holdfast".scheduled_message (id, due_at, topic, key, payload, headers)
  SELECT m.id, coalesce(m.due_at, clock_timestamp() + m.delay_ms * interval '1 millisecond'), m.topic, m.key, coalesce(m.payload, 'null'), coalesce(m.headers, '{}')
  FROM json_to_recordset(messages::json)
    AS m (id uuid, due_at timestamptz, delay_ms double precision, topic text, key text, payload jsonb, headers jsonb);
  RETURN true;
END $$;

-- One row per reader of the log (and shard of it). Spoken to by src/relay/subscription/subscription-store.ts.
CREATE TABLE "holdfast".subscription (
  name              text        NOT NULL,
  shard             smallint    NOT NULL DEFAULT 0,
  shards            smallint    NOT NULL DEFAULT 1 CHECK (shards BETWEEN 1 AND 64),
  -- The cursor: delivered is every row visible in `snapshot` with seq <= high ...
  snapshot          pg_snapshot NOT NULL,
  high              bigint      NOT NULL,
  -- ... and, while a long low probe is under way, those of its rows visible in `catchup` with seq <= catchup_seq.
  catchup           pg_snapshot,
  catchup_seq       bigint,
  -- Rows with seq <= floor bear the xids of another cluster (restore, logical migration) and are read by seq alone.
  floor             bigint      NOT NULL DEFAULT 0,
  system_identifier bigint      NOT NULL,
  lease_owner       text,
  lease_epoch       bigint      NOT NULL DEFAULT 0,
  lease_until       timestamptz,
  -- Takeovers in a row after which nothing had advanced; from the third on the relay probes for a message that kills it.
  stalls            integer     NOT NULL DEFAULT 0,
  -- While probing: the seqs that are being published, marked before they are.
  probe             jsonb,
  published         bigint      NOT NULL DEFAULT 0,
  rate              real        NOT NULL DEFAULT 0,
  -- The last failure of its transport, for status; null once it works again.
  trouble           text,
  retention         interval,
  created_at        timestamptz NOT NULL DEFAULT now(),
  advanced_at       timestamptz,
  PRIMARY KEY (name, shard),
  CHECK (shard < shards),
  CHECK ((catchup IS NULL) = (catchup_seq IS NULL))
) WITH (fillfactor = 40);

-- Messages taken out of the flow by a relay. Spoken to by src/relay/delivery/parking-store.ts.
CREATE TABLE "holdfast".parked_message (
  subscription    text        NOT NULL,
  seq             bigint      NOT NULL,
  id              uuid        NOT NULL,
  topic           text        NOT NULL,
  key             text,
  lane            smallint    NOT NULL,
  -- failed: could not be published itself. behind: waits for an earlier message of its key.
  state           text        NOT NULL CHECK (state IN ('failed', 'behind')),
  reason          text        NOT NULL,
  error           text,
  attempts        integer     NOT NULL DEFAULT 0,
  parked_at       timestamptz NOT NULL DEFAULT now(),
  -- When a relay takes it up again; null on a failed one means a dead letter: only a person will.
  next_attempt_at timestamptz,
  PRIMARY KEY (subscription, seq)
);
CREATE INDEX parked_message_key ON "holdfast".parked_message (subscription, key, seq);
CREATE INDEX parked_message_due ON "holdfast".parked_message (subscription, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX parked_message_id ON "holdfast".parked_message (id);

-- Requests to publish part of the log again. Spoken to by src/relay/delivery/replay-store.ts.
CREATE TABLE "holdfast".replay (
  id           uuid        PRIMARY KEY,
  subscription text        NOT NULL,
  from_seq     bigint      NOT NULL,
  to_seq       bigint      NOT NULL,
  -- Topic pattern and key to which it is limited; null: all.
  topic        text,
  key          text,
  requested_at timestamptz NOT NULL DEFAULT now(),
  position     bigint      NOT NULL,
  -- The position that was begun last, and how often: more than once means that a relay died there, or was stopped.
  begun        bigint,
  begun_times  integer     NOT NULL DEFAULT 0,
  published    bigint      NOT NULL DEFAULT 0,
  finished_at  timestamptz
);
CREATE INDEX replay_open ON "holdfast".replay (subscription, requested_at) WHERE finished_at IS NULL;

-- The last message sent per key to an ordered destination, so that the next one can name its predecessor.
CREATE TABLE "holdfast".key_head (
  subscription text        NOT NULL,
  destination  text        NOT NULL,
  key          text        NOT NULL,
  message_id   uuid        NOT NULL,
  published_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (subscription, destination, key)
);

-- What people did: written in the same transaction as the act itself.
CREATE TABLE "holdfast".audit (
  id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at      timestamptz NOT NULL DEFAULT now(),
  actor   text        NOT NULL,
  action  text        NOT NULL,
  subject text        NOT NULL,
  reason  text,
  details jsonb       NOT NULL DEFAULT '{}'
);
