-- Guards of the outbox and its readers.
--
-- For the operator: replaces functions, adds one small table and columns with constant defaults in the schema "holdfast"; locks the
-- tables it changes for milliseconds and moves no data.

-- The bytes of payload and headers as JSON text, so that a reader can bound what it takes into memory without touching it. What is
-- stored is compressed and says little: a payload of a mebibyte can be stored in a few kilobytes. Null for rows of before.
ALTER TABLE "holdfast".outbox ADD COLUMN bytes integer;
ALTER TABLE "holdfast".scheduled_message ADD COLUMN bytes integer;

-- The topic patterns of the subscription's routes, as the relay that started last has them; null: not known.
ALTER TABLE "holdfast".subscription ADD COLUMN topics text[];

-- What a replay read and did not publish: no route had its topic, or the broker refused it.
ALTER TABLE "holdfast".replay ADD COLUMN unrouted bigint NOT NULL DEFAULT 0;
ALTER TABLE "holdfast".replay ADD COLUMN refused bigint NOT NULL DEFAULT 0;

-- Functions name their tables with the schema they were made for. When a schema is renamed or copied, they go on writing into the
-- original: so whoever starts here, and every writer before its first message, says which schema it means.
CREATE FUNCTION "holdfast".at_home(expected text) RETURNS boolean
  LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  -- With the dot that a schema has before it everywhere in these functions, by which the migrator finds it.
  IF expected || '.' <> '"holdfast".' THEN
    RAISE EXCEPTION 'the functions of % write into the tables of %', expected, '"holdfast"' USING ERRCODE = 'HF003',
      HINT = 'The schema was renamed or copied. Run `holdfast migrate` with this schema, which points them at their own tables.';
  END IF;
  RETURN true;
END $$;

-- Logical replication and some ways of restoring bring rows without the sequences that numbered them. What is then written bears
-- numbers that are taken, or lie behind a cursor. These are the sequences that are behind their tables; whoever has the schema may ask.
CREATE FUNCTION "holdfast".sequences_behind() RETURNS TABLE (name text, last bigint, needed bigint)
  LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT found.name, found.last, found.needed FROM (
    SELECT 'outbox_seq_seq', CASE WHEN q.is_called THEN q.last_value ELSE q.last_value - 1 END,
      greatest((SELECT max(o.seq) FROM "holdfast".outbox o), (SELECT max(greatest(u.high, u.floor)) FROM "holdfast".subscription u),
        (SELECT max(p.seq) FROM "holdfast".parked_message p))
    FROM "holdfast".outbox_seq_seq q
    UNION ALL
    SELECT 'audit_id_seq', CASE WHEN q.is_called THEN q.last_value ELSE q.last_value - 1 END, (SELECT max(a.id) FROM "holdfast".audit a)
    FROM "holdfast".audit_id_seq q
    UNION ALL
    SELECT 'parked_delivery_position_seq', CASE WHEN q.is_called THEN q.last_value ELSE q.last_value - 1 END,
      (SELECT max(d.position) FROM "holdfast".parked_delivery d)
    FROM "holdfast".parked_delivery_position_seq q
    UNION ALL
    SELECT 'saga_mail_id_seq', CASE WHEN q.is_called THEN q.last_value ELSE q.last_value - 1 END, (SELECT max(m.id) FROM "holdfast".saga_mail m)
    FROM "holdfast".saga_mail_id_seq q
  ) AS found (name, last, needed) WHERE found.last < found.needed
$$;

-- Raises them, and returns which. Never lowers one: the comparison stands in the statement that sets, and what others draw between the
-- two is covered by the numbers left free. Sets relay_asleep, whose is_called then says that the sequences of this cluster are well: a
-- sequence, so that it is not replicated either.
CREATE FUNCTION "holdfast".raise_sequences() RETURNS TABLE (name text, last bigint, needed bigint)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  FOR name, last, needed IN SELECT b.name, b.last, b.needed FROM "holdfast".sequences_behind() b LOOP
    EXECUTE format('SELECT setval(%L, $1 + 1000) FROM %s q WHERE q.last_value <= $1', '"holdfast".' || quote_ident(name),
      '"holdfast".' || quote_ident(name)) USING needed;
    RETURN NEXT;
  END LOOP;
  IF NOT (SELECT q.is_called FROM "holdfast".relay_asleep q) THEN
    PERFORM setval('"holdfast".relay_asleep', 1);
  END IF;
END $$;

-- Whether JSON is nested deeper than consumers read it: 500 arrays and objects within one another, as src/message/json-limits.ts has it.
CREATE FUNCTION "holdfast".is_too_deep(jsonb) RETURNS boolean
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN pg_catalog.jsonb_path_exists($1, 'strict $.**{500} ? (@.type() == "object" || @.type() == "array")', '{}', true);

-- The payload as it is; refuses one that no consumer could read.
CREATE FUNCTION "holdfast".readable(payload jsonb) RETURNS jsonb
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  IF "holdfast".is_too_deep(payload) THEN
    RAISE EXCEPTION 'holdfast: the payload is nested more than 500 deep' USING ERRCODE = '22023', HINT = 'Send a flatter value.';
  END IF;
  RETURN payload;
END $$;

-- As in 0001, and before the first message in this cluster the sequences are compared with what they number.
CREATE OR REPLACE FUNCTION "holdfast".write_message(
  id uuid, topic text, key text, lane smallint, payload jsonb, headers jsonb, require_transaction boolean
) RETURNS boolean
  LANGUAGE plpgsql AS $$
DECLARE
  writer xid8;
  relays record;
  size integer := octet_length(write_message.payload::text);
BEGIN
  IF require_transaction AND pg_current_xact_id_if_assigned() IS NULL THEN
    PERFORM pg_current_xact_id();
    RETURN false;
  END IF;
  writer := pg_current_xact_id();
  SELECT q.last_value = 2 AS asleep, q.is_called AS sequences_well INTO relays FROM "holdfast".relay_asleep q;
  IF NOT relays.sequences_well THEN
    PERFORM "holdfast".raise_sequences();
  END IF;
  -- A payload that is nested too deep has two brackets for each of its levels.
  IF size > 1000 THEN
    PERFORM "holdfast".readable(write_message.payload);
  END IF;
  INSERT INTO "holdfast".outbox (xid, id, topic, key, lane, payload, headers, bytes)
  VALUES (writer, write_message.id, write_message.topic, write_message.key, write_message.lane,
    write_message.payload, write_message.headers,
    size + octet_length(write_message.headers::text));
  IF relays.asleep AND current_setting('holdfast.wake', true) IS DISTINCT FROM 'off' THEN
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
  IF NOT (SELECT q.is_called FROM "holdfast".relay_asleep q) THEN
    PERFORM "holdfast".raise_sequences();
  END IF;
  INSERT INTO "holdfast".outbox (xid, id, topic, key, lane, payload, headers, bytes)
  SELECT writer, m.id, m.topic, m.key, coalesce(m.lane, "holdfast".lane_of(coalesce(m.key, m.id::text))), coalesce("holdfast".readable(m.payload), 'null'),
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
  SELECT m.id, coalesce(m.due_at, clock_timestamp() + m.delay_ms * interval '1 millisecond'), m.topic, m.key, coalesce("holdfast".readable(m.payload), 'null'),
    coalesce(m.headers, '{}'), octet_length(coalesce(m.payload, 'null')::text) + octet_length(coalesce(m.headers, '{}')::text)
  FROM json_to_recordset(messages::json)
    AS m (id uuid, due_at timestamptz, delay_ms double precision, topic text, key text, payload jsonb, headers jsonb);
  RETURN true;
END $$;

-- Which of the histories of its cluster this server writes; null where that cannot be known (a standby, some hosted servers). A standby
-- that is promoted, or a restore to a point in time, begins a new one, and may lack the end of the one before.
CREATE FUNCTION "holdfast".server_timeline() RETURNS integer
  LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer;
EXCEPTION WHEN others THEN
  RETURN NULL;
END $$;
-- The timeline in which a cursor was stored last; null: not known.
ALTER TABLE "holdfast".subscription ADD COLUMN timeline integer;

-- When the last message of the key was sent to the broker: what an ordered consumer compares with its own beginning.
ALTER TABLE "holdfast".key_head ADD COLUMN sent_at timestamptz;

-- Messages that were written in this cluster behind all cursors go to the end of the log, in the order in which they were written: all
-- that were written since a moment, in ms since the epoch, but those that are parked. The xid of a row's writer and that of its version
-- are the same, or not far apart when it was written under a savepoint; where the row came with the table, they have nothing to do with
-- each other. The caller holds a lock that keeps writers away.
CREATE FUNCTION "holdfast".unseen_messages(written_after double precision, up_to bigint) RETURNS SETOF bigint
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT o.seq FROM "holdfast".outbox o
  WHERE o.seq <= up_to AND o.created_at > to_timestamp(written_after / 1000)
    AND mod(o.xmin::text::bigint - (o.xid::text::bigint & 4294967295) + 4294967296, 4294967296) < 1048576
    AND NOT EXISTS (SELECT 1 FROM "holdfast".parked_message p WHERE p.seq = o.seq)
$$;
CREATE FUNCTION "holdfast".move_to_end(written_after double precision) RETURNS bigint
  LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH here AS (
    DELETE FROM "holdfast".outbox o WHERE o.seq IN (SELECT "holdfast".unseen_messages(written_after, 9223372036854775807)) RETURNING o.*),
  written AS (
    INSERT INTO "holdfast".outbox (xid, id, topic, key, lane, payload, headers, bytes, created_at)
    SELECT pg_current_xact_id(), h.id, h.topic, h.key, h.lane, h.payload, h.headers, h.bytes, h.created_at FROM here h ORDER BY h.created_at, h.seq
    RETURNING 1)
  SELECT count(*) FROM written
$$;

-- Whose tables these are, so that a copy of them does not go on with what the original does: known by a name that the configuration
-- gives, and by where they are. One row, from the first start on.
CREATE TABLE "holdfast".environment (
  single            boolean     PRIMARY KEY DEFAULT true CHECK (single),
  -- Null: known by its place alone.
  name              text        CHECK (name <> ''),
  system_identifier bigint      NOT NULL,
  database          oid         NOT NULL,
  -- As it was when a person, or the first start, said that this is the place.
  timeline          integer,
  since             timestamptz NOT NULL DEFAULT now()
);

-- What is known, and where this is. The first to ask is who it belongs to; who has its name may bring it to another place; who is in its
-- place may name it.
CREATE FUNCTION "holdfast".claim_environment(given text) RETURNS TABLE (name text, same_place boolean)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here_system bigint := (SELECT c.system_identifier FROM pg_control_system() c);
  here_database oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
BEGIN
  INSERT INTO "holdfast".environment AS e (name, system_identifier, database, timeline)
  VALUES (given, here_system, here_database, "holdfast".server_timeline())
  ON CONFLICT (single) DO UPDATE SET name = given, system_identifier = here_system, database = here_database, since = now()
  WHERE given IS NOT NULL AND CASE WHEN e.name IS NULL THEN (e.system_identifier, e.database) = (here_system, here_database)
    ELSE e.name = given AND (e.system_identifier, e.database) <> (here_system, here_database) END;
  RETURN QUERY SELECT e.name, (e.system_identifier, e.database) = (here_system, here_database) FROM "holdfast".environment e;
END $$;

-- Whether a person, or the first start, said of this server, on this timeline, that all goes on here.
CREATE FUNCTION "holdfast".is_adopted() RETURNS boolean
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT 1 FROM "holdfast".environment e
    WHERE e.system_identifier = (SELECT c.system_identifier FROM pg_control_system() c)
      AND e.timeline IS NOT DISTINCT FROM "holdfast".server_timeline())
$$;

-- What all relays of a subscription must have alike: its routes, what becomes of refused messages, its retention. As the relay that was
-- started last has it; one with others takes the subscription no more. Null: not known.
ALTER TABLE "holdfast".subscription ADD COLUMN settings jsonb;

-- Where it publishes, as the relay that was started last calls it, without secrets. Null: not known.
ALTER TABLE "holdfast".subscription ADD COLUMN broker text;
