-- Guards of the outbox and its readers.
--
-- For the operator: replaces functions and adds columns with constant defaults in the schema "holdfast"; locks the tables it
-- changes for milliseconds and moves no data.

-- The bytes of payload and headers as JSON text, so that a reader can bound what it takes into memory without touching it. What is
-- stored is compressed and says little: a payload of a mebibyte can be stored in a few kilobytes. Null for rows of before.
ALTER TABLE "holdfast".outbox ADD COLUMN bytes integer;
ALTER TABLE "holdfast".scheduled_message ADD COLUMN bytes integer;

-- The topic patterns of the subscription's routes, as the relay that started last has them; null: not known.
ALTER TABLE "holdfast".subscription ADD COLUMN topics text[];

-- What a replay read and did not publish: no route had its topic, or the broker refused it.
ALTER TABLE "holdfast".replay ADD COLUMN unrouted bigint NOT NULL DEFAULT 0;
ALTER TABLE "holdfast".replay ADD COLUMN refused bigint NOT NULL DEFAULT 0;

CREATE OR REPLACE FUNCTION "holdfast".write_message(
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
  INSERT INTO "holdfast".outbox (xid, id, topic, key, lane, payload, headers, bytes)
  VALUES (writer, write_message.id, write_message.topic, write_message.key, write_message.lane, write_message.payload, write_message.headers,
    octet_length(write_message.payload::text) + octet_length(write_message.headers::text));
  IF (SELECT last_value FROM "holdfast".relay_asleep) = 2 AND current_setting('holdfast.wake', true) IS DISTINCT FROM 'off' THEN
    PERFORM pg_notify('"holdfast".wake', '');
  END IF;
  RETURN true;
END $$;

CREATE OR REPLACE FUNCTION "holdfast".write_outbox(messages text, require_transaction boolean) RETURNS boolean
  LANGUAGE plpgsql AS $$
DECLARE
  writer xid8;
BEGIN
  IF require_transaction AND pg_current_xact_id_if_assigned() IS NULL THEN
    PERFORM pg_current_xact_id();
    RETURN false;
  END IF;
  writer := pg_current_xact_id();
  INSERT INTO "holdfast".outbox (xid, id, topic, key, lane, payload, headers, bytes)
  SELECT writer, m.id, m.topic, m.key, coalesce(m.lane, "holdfast".lane_of(coalesce(m.key, m.id::text))), coalesce(m.payload, 'null'),
    coalesce(m.headers, '{}'), octet_length(coalesce(m.payload, 'null')::text) + octet_length(coalesce(m.headers, '{}')::text)
  FROM json_to_recordset(messages::json) AS m (id uuid, topic text, key text, lane smallint, payload jsonb, headers jsonb);
  IF (SELECT last_value FROM "holdfast".relay_asleep) = 2 AND current_setting('holdfast.wake', true) IS DISTINCT FROM 'off' THEN
    PERFORM pg_notify('"holdfast".wake', '');
  END IF;
  RETURN true;
END $$;

CREATE OR REPLACE FUNCTION "holdfast".schedule_messages(messages text, require_transaction boolean) RETURNS boolean
  LANGUAGE plpgsql AS $$
BEGIN
  IF require_transaction AND pg_current_xact_id_if_assigned() IS NULL THEN
    PERFORM pg_current_xact_id();
    RETURN false;
  END IF;
  INSERT INTO "holdfast".scheduled_message (id, due_at, topic, key, payload, headers, bytes)
  SELECT m.id, coalesce(m.due_at, clock_timestamp() + m.delay_ms * interval '1 millisecond'), m.topic, m.key, coalesce(m.payload, 'null'),
    coalesce(m.headers, '{}'), octet_length(coalesce(m.payload, 'null')::text) + octet_length(coalesce(m.headers, '{}')::text)
  FROM json_to_recordset(messages::json)
    AS m (id uuid, due_at timestamptz, delay_ms double precision, topic text, key text, payload jsonb, headers jsonb);
  RETURN true;
END $$;
