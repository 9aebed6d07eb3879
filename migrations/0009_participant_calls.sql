-- A participant's transaction in one call at its beginning and one at its end.
--
-- For the operator: makes four functions. Locks no table, moves no data, replaces nothing: participants of before go on with their own
-- statements while others start. Roles that may write participant_call are given EXECUTE on them, as docs/roles.md has it.

-- Begins the transaction of one message, in the caller's: how long it may stand idle, its inbox mark, and the record of its call. Command,
-- resends and compensation of a call meet at one primary key: whoever comes second waits here, and then sees what the first committed.
--
-- idle_limit: milliseconds; null: not limited. message_id: null: marked already by the caller. role: 'command', which writes its row;
-- 'compensation', which writes `without_row` (a state; null: nothing) if there is no row; null: no call, so only the mark.
-- The finding: 'duplicate', there was a mark, and nothing else was looked at; 'new', a row was written in this state (with role null: none);
-- 'known', the row that was there, locked; 'none', there is no row and none was written.
CREATE FUNCTION "holdfast".enter_call(
  participant text, message_id uuid, role text, saga_id uuid, call text, payload jsonb, without_row text, idle_limit text,
  OUT finding text, OUT state text, OUT command text, OUT reply text
)
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
  written text := CASE WHEN role = 'command' THEN 'done' ELSE without_row END;
BEGIN
  IF idle_limit IS NOT NULL THEN
    PERFORM set_config('idle_in_transaction_session_timeout', idle_limit, true);
  END IF;
  IF message_id IS NOT NULL THEN
    INSERT INTO "holdfast".inbox AS i (consumer, message_id) VALUES (enter_call.participant, enter_call.message_id) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
      finding := 'duplicate';
      RETURN;
    END IF;
  END IF;
  finding := 'new';
  IF role IS NULL THEN
    RETURN;
  END IF;
  -- Only pruning deletes records, and only a refused compensation takes one back: between the two statements, hardly ever twice.
  FOR turn IN 1 .. 3 LOOP
    IF role = 'command' OR turn > 1 AND written IS NOT NULL THEN
      INSERT INTO "holdfast".participant_call AS c (participant, saga_id, call, state, command)
      VALUES (enter_call.participant, enter_call.saga_id, enter_call.call, written, enter_call.payload) ON CONFLICT DO NOTHING;
      IF FOUND THEN
        state := written;
        RETURN;
      END IF;
    END IF;
    SELECT c.state, c.command::text, c.reply::text INTO state, command, reply FROM "holdfast".participant_call c
    WHERE c.participant = enter_call.participant AND c.saga_id = enter_call.saga_id AND c.call = enter_call.call FOR UPDATE;
    IF FOUND THEN
      finding := 'known';
      RETURN;
    END IF;
    IF written IS NULL THEN
      finding := 'none';
      RETURN;
    END IF;
  END LOOP;
  RAISE EXCEPTION 'holdfast: the record of the call % changed again and again', quote_literal(enter_call.call) USING ERRCODE = '40001';
END $$;

-- The same for several messages that share a transaction: a JSON array of {message, role, run, call, payload, without}, each with a call
-- that no other of them has. `marked`: by the caller. A row for each, in their order.
CREATE FUNCTION "holdfast".enter_calls(participant text, messages text, marked boolean, idle_limit text)
  RETURNS TABLE (finding text, state text, command text, reply text)
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  each record;
BEGIN
  IF idle_limit IS NOT NULL THEN
    PERFORM set_config('idle_in_transaction_session_timeout', idle_limit, true);
  END IF;
  FOR each IN
    SELECT m.* FROM json_to_recordset(messages::json)
      AS m (message uuid, role text, run uuid, call text, payload jsonb, without text)
  LOOP
    SELECT e.* INTO finding, state, command, reply FROM "holdfast".enter_call(enter_calls.participant,
      CASE WHEN NOT marked THEN each.message END, each.role, each.run, each.call, each.payload, each.without, NULL) AS e;
    RETURN NEXT;
  END LOOP;
END $$;

-- Completes the record of a call, and writes the reply: the end of a transaction that enter_call has begun.
-- new_state: 'done' and 'rejected' with the answer; 'compensated'; 'withdrawn' takes back a row that this transaction has written; null
-- leaves the record as it is. message_id: null: the reply is written by the caller.
CREATE FUNCTION "holdfast".end_call(
  participant text, saga_id uuid, call text, new_state text, answer jsonb,
  message_id uuid, topic text, key text, lane smallint, payload jsonb, headers jsonb
) RETURNS boolean
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
BEGIN
  IF new_state IN ('done', 'rejected') THEN
    UPDATE "holdfast".participant_call c SET state = new_state, reply = answer
    WHERE c.participant = end_call.participant AND c.saga_id = end_call.saga_id AND c.call = end_call.call;
  ELSIF new_state = 'compensated' THEN
    -- Its age counts from here: a compensation that comes again must still find it.
    UPDATE "holdfast".participant_call c SET state = new_state, at = clock_timestamp()
    WHERE c.participant = end_call.participant AND c.saga_id = end_call.saga_id AND c.call = end_call.call;
  ELSIF new_state = 'withdrawn' THEN
    DELETE FROM "holdfast".participant_call c
    WHERE c.participant = end_call.participant AND c.saga_id = end_call.saga_id AND c.call = end_call.call;
  END IF;
  IF new_state IS NOT NULL AND NOT FOUND THEN
    RAISE EXCEPTION 'holdfast: the record of the call % is gone within its own transaction', quote_literal(end_call.call)
      USING ERRCODE = 'HF005', HINT = 'Leave COMMIT and ROLLBACK to Holdfast.';
  END IF;
  RETURN message_id IS NULL OR "holdfast".write_message(message_id, topic, key, lane, payload, headers, false);
END $$;

-- The same for several calls: a JSON array of {run, call, state, answer}, and their replies as write_outbox takes them (null: none).
CREATE FUNCTION "holdfast".end_calls(participant text, calls text, replies text) RETURNS boolean
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  each record;
BEGIN
  FOR each IN SELECT c.* FROM json_to_recordset(calls::json) AS c (run uuid, call text, state text, answer jsonb) LOOP
    PERFORM "holdfast".end_call(end_calls.participant, each.run, each.call, each.state, each.answer, NULL, NULL, NULL, NULL, NULL, NULL);
  END LOOP;
  RETURN replies IS NULL OR "holdfast".write_outbox(replies, false);
END $$;

DO $$
DECLARE
  made record;
  given record;
BEGIN
  FOR made IN
    SELECT p.oid::regprocedure::text AS signature FROM pg_proc p
    WHERE p.pronamespace = '"holdfast"'::regnamespace AND p.proname IN ('enter_call', 'enter_calls', 'end_call', 'end_calls')
  LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', made.signature);
    FOR given IN
      SELECT DISTINCT pg_get_userbyid(a.grantee) AS role
      FROM pg_class t CROSS JOIN LATERAL aclexplode(t.relacl) AS a
      WHERE t.oid = '"holdfast".participant_call'::regclass AND a.privilege_type = 'INSERT' AND a.grantee <> 0 AND a.grantee <> t.relowner
    LOOP
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', made.signature, given.role);
    END LOOP;
  END LOOP;
END $$;
