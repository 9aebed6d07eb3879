-- The trace of whoever starts a run goes into the first event of its journal, where the worker that takes it up finds it.
--
-- For the operator: replaces one function. Locks no table and moves no data. Callers of before say no trace, and nothing changes for them;
-- workers of before pass over it.

-- As in 0006, and `trace`: what is recorded of it as it is given. It decides nothing, so one that is too large is left away.
CREATE OR REPLACE FUNCTION "holdfast".start_runs(runs text, require_transaction boolean) RETURNS jsonb
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
  started jsonb := '[]';
  run record;
  found_id uuid;
  most integer;
  -- What the run is told is milliseconds; what the table says must be the same.
  starting timestamptz := date_trunc('milliseconds', clock_timestamp());
  deadline timestamptz;
  created boolean;
BEGIN
  IF require_transaction AND pg_current_xact_id_if_assigned() IS NULL THEN
    PERFORM pg_current_xact_id();
    RETURN NULL;
  END IF;
  FOR run IN
    SELECT * FROM json_to_recordset(runs::json)
      AS r (id uuid, saga text, version integer, key text, input json, deadline_ms double precision, trace json)
  LOOP
    -- What no worker would take is not started, and the caller's transaction goes on.
    most := "holdfast".value_limit(run.saga, run.version, run.input::text);
    IF most IS NOT NULL THEN
      started := started || jsonb_build_object('id', run.id, 'created', false, 'limit', most);
      CONTINUE;
    END IF;
    deadline := starting + run.deadline_ms * interval '1 millisecond';
    LOOP
      INSERT INTO "holdfast".saga_run AS r (id, saga, version, key, status, wake_at, deadline_at)
      VALUES (run.id, run.saga, run.version, run.key, 'pending', starting, deadline)
      ON CONFLICT DO NOTHING
      RETURNING r.id INTO found_id;
      created := found_id IS NOT NULL;
      EXIT WHEN created;
      SELECT r.id INTO found_id FROM "holdfast".saga_run r WHERE r.saga = run.saga AND r.key = run.key;
      EXIT WHEN found_id IS NOT NULL;
      SELECT r.id INTO found_id FROM "holdfast".saga_run r WHERE r.id = run.id AND r.saga = run.saga AND r.key IS NOT DISTINCT FROM run.key;
      EXIT WHEN found_id IS NOT NULL;
      IF EXISTS (SELECT 1 FROM "holdfast".saga_run r WHERE r.id = run.id) THEN
        RAISE EXCEPTION 'the id % belongs to another run', run.id USING ERRCODE = '23505', CONSTRAINT = 'saga_run_pkey';
      END IF;
      -- It was pruned between the two statements.
    END LOOP;
    IF created THEN
      INSERT INTO "holdfast".saga_journal (saga_id, n, events, at)
      VALUES (run.id, 0, ('[{"t":"started","input":' || coalesce(run.input::text, 'null')
        || coalesce(',"deadlineAt":' || round(extract(epoch FROM deadline) * 1000)::bigint, '')
        || CASE WHEN octet_length(run.trace::text) <= 8192 THEN ',"trace":' || run.trace::text ELSE '' END || '}]')::json, starting);
    END IF;
    -- Whoever gives a key, or an id, a second time with another input gets the first run, and is told so.
    started := started || jsonb_build_object('id', found_id, 'created', created, 'other_input', NOT created AND coalesce((
      SELECT (j.events -> 0 -> 'input')::jsonb <> run.input::jsonb FROM "holdfast".saga_journal j WHERE j.saga_id = found_id AND j.n = 0), false));
  END LOOP;
  PERFORM "holdfast".wake_workers();
  RETURN started;
END $$;
