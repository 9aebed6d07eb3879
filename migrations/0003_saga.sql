-- Sagas: runs, their journal, their mail, and the workers that run them.
--
-- For the operator: creates five tables, some functions and one sequence in the schema "holdfast" and touches nothing else.
-- Takes no lock on existing tables. Runs in milliseconds.

-- A process that runs sagas, alive while its lease lasts. Every write under the lease holds the row FOR KEY SHARE, and whoever takes
-- over deletes the row first, which waits for the writes under way: afterwards the old worker can write nothing more.
CREATE TABLE "holdfast".worker (
  id          uuid        PRIMARY KEY,
  name        text        NOT NULL,
  -- What it can run, for the report of runs that nobody can: ["place-order@1", ...].
  sagas       jsonb       NOT NULL,
  lease_until timestamptz NOT NULL,
  -- It takes no new runs and is handing over those it has.
  draining    boolean     NOT NULL DEFAULT false,
  started_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

CREATE TABLE "holdfast".saga_run (
  id          uuid        PRIMARY KEY,
  saga        text        NOT NULL,
  version     integer     NOT NULL CHECK (version >= 1),
  key         text        CHECK (key <> ''),
  status      text        NOT NULL CHECK (status IN ('pending', 'running', 'waiting', 'compensating', 'completed', 'compensated', 'stuck')),
  -- Why it is being undone, or was.
  reason      text        CHECK (reason IN ('failed', 'cancelled', 'timed out')),
  -- A pivot step is done: from here on it only goes forward.
  pivoted     boolean     NOT NULL DEFAULT false,
  -- Who has it in memory. Nobody: null.
  worker      uuid,
  -- Grows with each claim: the fencing token that steps are given.
  claims      integer     NOT NULL DEFAULT 0,
  -- Workers that died while they had it.
  lost        integer     NOT NULL DEFAULT 0,
  -- When a worker is to take it up; null: when mail comes.
  wake_at     timestamptz,
  deadline_at timestamptz,
  parent      uuid,
  parent_call text,
  -- json, here and below, not jsonb: they are written once and read whole, and jsonb took the server twice the time per row.
  result      json,
  error       json,
  started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz,
  CHECK ((parent IS NULL) = (parent_call IS NULL)),
  CHECK ((finished_at IS NULL) = (status NOT IN ('completed', 'compensated')))
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX saga_run_key ON "holdfast".saga_run (saga, key) WHERE key IS NOT NULL;
-- What a worker may claim.
CREATE INDEX saga_run_due ON "holdfast".saga_run (saga, version, wake_at) WHERE worker IS NULL AND wake_at IS NOT NULL;
-- What a dead worker leaves.
CREATE INDEX saga_run_held ON "holdfast".saga_run (worker) WHERE worker IS NOT NULL;
CREATE INDEX saga_run_stuck ON "holdfast".saga_run (id) WHERE status = 'stuck';
CREATE INDEX saga_run_parent ON "holdfast".saga_run (parent) WHERE parent IS NOT NULL;
-- For pruning, in chunks from the oldest on.
CREATE INDEX saga_run_finished ON "holdfast".saga_run (finished_at) WHERE finished_at IS NOT NULL;

-- Terminal is absorbing.
CREATE FUNCTION "holdfast".refuse_saga_move() RETURNS trigger
  LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'saga run % is % and cannot become %', OLD.id, OLD.status, NEW.status USING ERRCODE = '23514',
    HINT = 'A finished run stays as it ended.';
END $$;
CREATE TRIGGER saga_run_terminal BEFORE UPDATE OF status ON "holdfast".saga_run FOR EACH ROW
  WHEN (OLD.status IN ('completed', 'compensated') AND NEW.status <> OLD.status)
  EXECUTE FUNCTION "holdfast".refuse_saga_move();

-- One row for each commit of a run, append-only. The order of the rows, and of the events in one, is the order in which the outcomes
-- were told to the run.
CREATE TABLE "holdfast".saga_journal (
  saga_id uuid        NOT NULL,
  n       integer     NOT NULL CHECK (n >= 0),
  events  json        NOT NULL,
  -- On this server's clock, as the worker knew it: what the run was told by now().
  at      timestamptz NOT NULL,
  PRIMARY KEY (saga_id, n)
);

-- What comes to a run from outside: signals, replies, news of children, cancellation, acts of operators. A worker takes it in, and
-- deletes it, in the commit that journals it. Written by INSERT alone, so that nobody's long transaction holds up a worker.
CREATE TABLE "holdfast".saga_mail (
  id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  saga_id uuid        NOT NULL,
  -- Of the run, so that mail for what no worker here can run is not looked at again and again.
  saga    text        NOT NULL,
  version integer     NOT NULL,
  kind    text        NOT NULL CHECK (kind IN ('signal', 'reply', 'child', 'cancel', 'undo', 'release', 'retry', 'skip', 'resolve')),
  body    json        NOT NULL,
  at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX saga_mail_saga ON "holdfast".saga_mail (saga_id, id);
CREATE INDEX saga_mail_version ON "holdfast".saga_mail (saga, version, id);

-- What a participant has done for a run: its stored answer, or the tombstone of a compensation that came before its command.
CREATE TABLE "holdfast".participant_call (
  participant text        NOT NULL,
  saga_id     uuid        NOT NULL,
  call        text        NOT NULL,
  state       text        NOT NULL CHECK (state IN ('done', 'rejected', 'compensated', 'tombstone')),
  command     jsonb,
  reply       jsonb,
  at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (participant, saga_id, call)
);
-- For pruning: what has had an effect is kept long, the rest briefly and found without reading through the former.
CREATE INDEX participant_call_at ON "holdfast".participant_call USING brin (at) WITH (pages_per_range = 32);
CREATE INDEX participant_call_brief ON "holdfast".participant_call (at) WHERE state IN ('rejected', 'tombstone');

-- 2 = some worker is asleep and wants a NOTIFY, 1 = all are polling. As relay_asleep.
CREATE SEQUENCE "holdfast".worker_asleep AS bigint MINVALUE 1 MAXVALUE 2 START 1 CACHE 1;

CREATE FUNCTION "holdfast".wake_workers() RETURNS void
  LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT last_value FROM "holdfast".worker_asleep) = 2 AND current_setting('holdfast.wake', true) IS DISTINCT FROM 'off' THEN
    PERFORM pg_notify('"holdfast".wake_worker', '');
  END IF;
END $$;

-- Starts runs in the caller's transaction: a JSON array of {id, saga, version, key, input, deadline_ms}. Returns for each, in order,
-- the id of the run and whether it is new: the same saga and key, or the same id, give the run that is there. require_transaction as
-- in write_message: null means that the call was a transaction of its own.
CREATE FUNCTION "holdfast".start_runs(runs text, require_transaction boolean) RETURNS jsonb
  LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
  started jsonb := '[]';
  run record;
  found_id uuid;
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
      AS r (id uuid, saga text, version integer, key text, input json, deadline_ms double precision)
  LOOP
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
        || coalesce(',"deadlineAt":' || round(extract(epoch FROM deadline) * 1000)::bigint, '') || '}]')::json, starting);
    END IF;
    started := started || jsonb_build_object('id', found_id, 'created', created);
  END LOOP;
  PERFORM "holdfast".wake_workers();
  RETURN started;
END $$;

-- Mail for a run, in the caller's transaction. Answers with what the run was at that moment: null status: there is no such run, and
-- nothing was written; `accepted` false: it was refused because of its status, and nothing was written. require_transaction as in
-- write_message (null means: not in a transaction, nothing written).
CREATE FUNCTION "holdfast".send_saga_mail(saga_id uuid, kind text, body text, statuses text[], require_transaction boolean) RETURNS jsonb
  LANGUAGE plpgsql
  -- Without jit = off the price of a forbidden scan (of the sequence in wake_workers, say) has the server compile each statement.
  SET enable_seqscan = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
  run record;
  refused boolean;
BEGIN
  IF require_transaction AND pg_current_xact_id_if_assigned() IS NULL THEN
    PERFORM pg_current_xact_id();
    RETURN NULL;
  END IF;
  SELECT r.saga, r.version, r.status, r.pivoted INTO run FROM "holdfast".saga_run r WHERE r.id = send_saga_mail.saga_id;
  IF NOT FOUND THEN
    RETURN jsonb_build_object('status', NULL, 'pivoted', false, 'accepted', false);
  END IF;
  refused := NOT run.status = ANY (statuses) OR (send_saga_mail.kind = 'cancel' AND run.pivoted);
  IF NOT refused THEN
    INSERT INTO "holdfast".saga_mail (saga_id, saga, version, kind, body)
    VALUES (send_saga_mail.saga_id, run.saga, run.version, send_saga_mail.kind, send_saga_mail.body::json);
    PERFORM "holdfast".wake_workers();
  END IF;
  RETURN jsonb_build_object('status', run.status, 'pivoted', run.pivoted, 'accepted', NOT refused);
END $$;

-- Raises HF001 unless the worker's lease lasts. The lock is held until the transaction ends.
CREATE FUNCTION "holdfast".hold_worker_lease(worker uuid) RETURNS void
  LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM "holdfast".worker w WHERE w.id = hold_worker_lease.worker AND w.lease_until > clock_timestamp() FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the lease of worker % is over', worker USING ERRCODE = 'HF001';
  END IF;
END $$;

-- What a worker needs of runs to take them up. Times in ms since the epoch.
CREATE FUNCTION "holdfast".load_runs(ids uuid[])
  RETURNS TABLE (id uuid, saga text, version integer, status text, reason text, pivoted boolean, claims integer, lost integer,
    deadline_at double precision, parent uuid, parent_call text, journal json, mail json)
  LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
BEGIN
  RETURN QUERY SELECT r.id, r.saga, r.version, r.status, r.reason, r.pivoted, r.claims, r.lost,
    round(extract(epoch FROM r.deadline_at) * 1000)::double precision, r.parent, r.parent_call,
    (SELECT json_agg(json_build_object('n', j.n, 'at', round(extract(epoch FROM j.at) * 1000), 'events', j.events) ORDER BY j.n)
      FROM "holdfast".saga_journal j WHERE j.saga_id = r.id),
    (SELECT json_agg(json_build_object('id', m.id::text, 'body', m.body) ORDER BY m.id) FROM "holdfast".saga_mail m WHERE m.saga_id = r.id)
  FROM unnest(ids) WITH ORDINALITY AS i (id, place)
  CROSS JOIN LATERAL (SELECT * FROM "holdfast".saga_run x WHERE x.id = i.id OFFSET 0) AS r ORDER BY i.place;
END $$;

-- Claims due runs, oldest first, up to a limit for each version, and loads them. The journal is read by a later statement than the
-- one that claims, so it shows all that the last holder committed.
CREATE FUNCTION "holdfast".claim_runs(worker uuid, sagas text[], versions integer[], limits integer[])
  RETURNS TABLE (id uuid, saga text, version integer, status text, reason text, pivoted boolean, claims integer, lost integer,
    deadline_at double precision, parent uuid, parent_call text, journal json, mail json)
  LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off
  SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
  -- In a variable, because the volatile function itself is no bound for an index.
  due timestamptz := clock_timestamp();
  batch uuid[];
  claimed uuid[] := '{}';
BEGIN
  PERFORM "holdfast".hold_worker_lease(worker);
  FOR i IN 1 .. cardinality(sagas) LOOP
    batch := ARRAY(
      SELECT r.id FROM "holdfast".saga_run r
      WHERE r.saga = sagas[i] AND r.version = versions[i] AND r.worker IS NULL AND r.wake_at <= due
      ORDER BY r.wake_at LIMIT limits[i] FOR NO KEY UPDATE SKIP LOCKED);
    UPDATE "holdfast".saga_run r SET worker = claim_runs.worker, claims = r.claims + 1, wake_at = NULL WHERE r.id = ANY (batch);
    claimed := claimed || batch;
  END LOOP;
  RETURN QUERY SELECT * FROM "holdfast".load_runs(claimed);
END $$;

-- The same for given runs that nobody holds; whether they are due does not matter.
CREATE FUNCTION "holdfast".claim_these_runs(worker uuid, ids uuid[])
  RETURNS TABLE (id uuid, saga text, version integer, status text, reason text, pivoted boolean, claims integer, lost integer,
    deadline_at double precision, parent uuid, parent_call text, journal json, mail json)
  LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
  claimed uuid[];
BEGIN
  PERFORM "holdfast".hold_worker_lease(worker);
  claimed := ARRAY(
    SELECT r.id FROM "holdfast".saga_run r WHERE r.id = ANY (ids) AND r.worker IS NULL FOR NO KEY UPDATE SKIP LOCKED);
  UPDATE "holdfast".saga_run r SET worker = claim_these_runs.worker, claims = r.claims + 1, wake_at = NULL WHERE r.id = ANY (claimed);
  RETURN QUERY SELECT * FROM "holdfast".load_runs(claimed);
END $$;

-- Mail of some versions, oldest first, that is for the worker's own runs or for runs that nobody holds: up to `page` for each version.
-- Takes no lock: who wants a run of the second kind must claim it. `body` is null for those.
CREATE FUNCTION "holdfast".pending_saga_mail(worker uuid, sagas text[], versions integer[], taken bigint[], page integer)
  RETURNS TABLE (id bigint, saga_id uuid, held boolean, body json)
  LANGUAGE plpgsql STABLE
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off
  SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
BEGIN
  FOR i IN 1 .. cardinality(sagas) LOOP
    RETURN QUERY
      SELECT m.id, m.saga_id, r.worker IS NOT NULL, CASE WHEN r.worker IS NOT NULL THEN m.body END
      FROM "holdfast".saga_mail m
      CROSS JOIN LATERAL (SELECT x.worker FROM "holdfast".saga_run x WHERE x.id = m.saga_id OFFSET 0) AS r
      WHERE m.saga = sagas[i] AND m.version = versions[i] AND (r.worker IS NULL OR r.worker = pending_saga_mail.worker)
        AND NOT m.id = ANY (taken)
      ORDER BY m.id LIMIT page;
  END LOOP;
END $$;

-- The one commit of a worker, for many runs at once. Null: none. Arguments of type json are arrays of objects.
--   starts:   {id, saga, version, held, status, deadline_at, parent, parent_call}   times in ms since the epoch
--   journal:  one element of each of the four for each row; no time: now
--   updates:  {id, status, reason, pivoted, release, wake_at, result, error}, `updated` of them, all held by this worker (null: not
--             checked); what is missing is null or false
--             result, error: null leaves what is there, but for the error of a run that goes forward again: it is over.
--             release: nobody has it any more, and wake_at counts. A run that ends is released in any case.
--   mail_done: ids of mail taken in.   mail: {id, body}; what is for no run is dropped.   messages: as write_outbox takes them.
--   wake: others have something to do after this.
CREATE FUNCTION "holdfast".commit_runs(
  worker uuid, starts json,
  journal_ids uuid[], journal_ns integer[], journal_ats double precision[], journal_events json[],
  updates json, updated integer, mail_done bigint[], mail json, messages text, wake boolean
) RETURNS void
  LANGUAGE plpgsql
  -- A plan that was made while the tables were empty must not read them whole once they are large.
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
  changed integer;
BEGIN
  PERFORM 1 FROM "holdfast".worker w WHERE w.id = commit_runs.worker AND w.lease_until > clock_timestamp() FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the lease of worker % is over', worker USING ERRCODE = 'HF001';
  END IF;
  IF starts IS NOT NULL THEN
    INSERT INTO "holdfast".saga_run (id, saga, version, worker, claims, status, wake_at, deadline_at, parent, parent_call, finished_at)
    SELECT s.id, s.saga, s.version, CASE WHEN s.held THEN commit_runs.worker END, CASE WHEN s.held THEN 1 ELSE 0 END, s.status,
      CASE WHEN NOT s.held THEN clock_timestamp() END, to_timestamp(s.deadline_at / 1000), s.parent, s.parent_call,
      CASE WHEN s.status IN ('completed', 'compensated') THEN clock_timestamp() END
    FROM json_to_recordset(starts) AS s (id uuid, saga text, version integer, held boolean, status text,
      deadline_at double precision, parent uuid, parent_call text);
  END IF;
  IF journal_ids IS NOT NULL THEN
    INSERT INTO "holdfast".saga_journal (saga_id, n, events, at)
    SELECT j.id, j.n, j.events, coalesce(to_timestamp(j.at / 1000), clock_timestamp())
    FROM unnest(journal_ids, journal_ns, journal_ats, journal_events) AS j (id, n, at, events);
  END IF;
  IF updates IS NOT NULL THEN
    -- In one statement, since each reads the constraints of its table anew: one by one took a quarter of the server's time. By way of
    -- the ctid, because OFFSET 0 keeps the inner query a look-up by primary key for each: of a plain join the planner makes, while it
    -- believes the table small, a comparison of each with each. Nobody else changes a row that this worker holds, and it has one commit
    -- of a run under way at a time, so a ctid stays true.
    UPDATE "holdfast".saga_run r SET
      status = u.status,
      reason = u.reason,
      pivoted = u.pivoted,
      worker = CASE WHEN NOT u.release AND NOT u.ended THEN r.worker END,
      wake_at = CASE WHEN u.release AND NOT u.ended THEN to_timestamp(u.wake_at / 1000) END,
      result = coalesce(u.result, r.result),
      error = CASE WHEN u.status IN ('compensating', 'compensated', 'stuck') THEN coalesce(u.error, r.error) ELSE u.error END,
      updated_at = clock_timestamp(),
      finished_at = CASE WHEN u.ended THEN coalesce(r.finished_at, clock_timestamp()) END
    FROM (
      SELECT x.id, x.status, x.reason, coalesce(x.pivoted, false) AS pivoted, coalesce(x.release, false) AS release, x.wake_at, x.result,
        x.error, x.status IN ('completed', 'compensated') AS ended, held.tid
      FROM json_to_recordset(updates) AS x (id uuid, status text, reason text, pivoted boolean, release boolean,
        wake_at double precision, result json, error json)
      CROSS JOIN LATERAL (SELECT y.ctid AS tid FROM "holdfast".saga_run y WHERE y.id = x.id OFFSET 0) AS held
    ) AS u
    WHERE r.ctid = u.tid AND r.worker IS NOT DISTINCT FROM commit_runs.worker;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> updated THEN
      RAISE EXCEPTION 'worker % does not hold % of % runs', worker, updated - changed, updated USING ERRCODE = 'HF002';
    END IF;
  END IF;
  IF mail_done IS NOT NULL THEN
    DELETE FROM "holdfast".saga_mail m WHERE m.id = ANY (mail_done);
  END IF;
  IF mail IS NOT NULL THEN
    INSERT INTO "holdfast".saga_mail (saga_id, saga, version, kind, body)
    SELECT r.id, r.saga, r.version, m.body ->> 'kind', m.body
    FROM json_to_recordset(mail) AS m (id uuid, body json)
    -- OFFSET 0 keeps it a look-up by primary key for each row, here and above.
    CROSS JOIN LATERAL (SELECT x.id, x.saga, x.version FROM "holdfast".saga_run x WHERE x.id = m.id OFFSET 0) AS r;
  END IF;
  IF messages IS NOT NULL THEN
    PERFORM "holdfast".write_outbox(messages, false);
  END IF;
  IF wake THEN
    PERFORM "holdfast".wake_workers();
  END IF;
END $$;
