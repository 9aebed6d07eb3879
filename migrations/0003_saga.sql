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
  result      jsonb,
  error       jsonb,
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
CREATE INDEX saga_run_held ON "holdfast".saga_run (worker) WHERE worker IS NOT NULL AND finished_at IS NULL;
CREATE INDEX saga_run_stuck ON "holdfast".saga_run (id) WHERE status = 'stuck';
CREATE INDEX saga_run_parent ON "holdfast".saga_run (parent) WHERE parent IS NOT NULL;
-- For pruning: finished runs come in about the order of their ends.
CREATE INDEX saga_run_finished ON "holdfast".saga_run USING brin (finished_at) WITH (pages_per_range = 32);

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
  events  jsonb       NOT NULL,
  -- On this server's clock, as the worker knew it: what the run was told by now().
  at      timestamptz NOT NULL,
  PRIMARY KEY (saga_id, n)
);

-- What comes to a run from outside: signals, replies, news of children, cancellation, acts of operators. A worker takes it in, and
-- deletes it, in the commit that journals it. Written by INSERT alone, so that nobody's long transaction holds up a worker.
CREATE TABLE "holdfast".saga_mail (
  id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  saga_id uuid        NOT NULL,
  kind    text        NOT NULL CHECK (kind IN ('signal', 'reply', 'child', 'cancel', 'undo', 'release', 'retry', 'skip', 'resolve')),
  body    jsonb       NOT NULL,
  at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX saga_mail_saga ON "holdfast".saga_mail (saga_id);

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
-- the id of the run and whether it is new: the same saga and key give the run that is there. require_transaction as in
-- write_message: null means that the call was a transaction of its own.
CREATE FUNCTION "holdfast".start_runs(runs text, require_transaction boolean) RETURNS jsonb
  LANGUAGE plpgsql AS $$
DECLARE
  started jsonb := '[]';
  run record;
  run_id uuid;
BEGIN
  IF require_transaction AND pg_current_xact_id_if_assigned() IS NULL THEN
    PERFORM pg_current_xact_id();
    RETURN NULL;
  END IF;
  FOR run IN
    SELECT * FROM json_to_recordset(runs::json)
      AS r (id uuid, saga text, version integer, key text, input jsonb, deadline_ms double precision)
  LOOP
    INSERT INTO "holdfast".saga_run AS r (id, saga, version, key, status, wake_at, deadline_at)
    VALUES (run.id, run.saga, run.version, run.key, 'pending', clock_timestamp(), clock_timestamp() + run.deadline_ms * interval '1 millisecond')
    ON CONFLICT (saga, key) WHERE key IS NOT NULL DO NOTHING
    RETURNING r.id INTO run_id;
    IF run_id IS NOT NULL THEN
      INSERT INTO "holdfast".saga_journal (saga_id, n, events, at)
      VALUES (run.id, 0, jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('t', 'started',
        'deadlineAt', floor(extract(epoch FROM clock_timestamp()) * 1000 + run.deadline_ms)))
        || jsonb_build_object('input', run.input)), clock_timestamp());
      started := started || jsonb_build_object('id', run_id, 'created', true);
    ELSE
      SELECT r.id INTO STRICT run_id FROM "holdfast".saga_run r WHERE r.saga = run.saga AND r.key = run.key;
      started := started || jsonb_build_object('id', run_id, 'created', false);
    END IF;
  END LOOP;
  PERFORM "holdfast".wake_workers();
  RETURN started;
END $$;

-- Mail for a run, in the caller's transaction. Answers with what the run was at that moment: null status: there is no such run, and
-- nothing was written; `accepted` false: it was refused because of its status, and nothing was written. require_transaction as in
-- write_message (null means: not in a transaction, nothing written).
CREATE FUNCTION "holdfast".send_saga_mail(saga_id uuid, kind text, body text, statuses text[], require_transaction boolean) RETURNS jsonb
  LANGUAGE plpgsql AS $$
DECLARE
  run record;
BEGIN
  IF require_transaction AND pg_current_xact_id_if_assigned() IS NULL THEN
    PERFORM pg_current_xact_id();
    RETURN NULL;
  END IF;
  SELECT r.saga, r.version, r.status, r.pivoted INTO run FROM "holdfast".saga_run r WHERE r.id = send_saga_mail.saga_id;
  IF NOT FOUND THEN
    RETURN jsonb_build_object('status', NULL, 'accepted', false);
  END IF;
  IF NOT run.status = ANY (statuses) OR (send_saga_mail.kind = 'cancel' AND run.pivoted) THEN
    RETURN jsonb_build_object('status', run.status, 'saga', run.saga, 'version', run.version, 'pivoted', run.pivoted, 'accepted', false);
  END IF;
  INSERT INTO "holdfast".saga_mail (saga_id, kind, body) VALUES (send_saga_mail.saga_id, send_saga_mail.kind, send_saga_mail.body::jsonb);
  PERFORM "holdfast".wake_workers();
  RETURN jsonb_build_object('status', run.status, 'saga', run.saga, 'version', run.version, 'pivoted', run.pivoted, 'accepted', true);
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

-- The one commit of a worker, for many runs at once. Each argument is a JSON array, or null for none.
--   starts:   {id, saga, version, worker, status, wake_at, deadline_at, parent, parent_call}   times in ms since the epoch
--   journal:  {id, n, events, at}
--   updates:  {id, status, reason, pivoted, release, wake_at, result, error}
--             result, error: null leaves what is there. release: nobody has it any more, and wake_at counts.
--   mail_done: ids of mail taken in.   mail: {id, kind, body}.   messages: as write_outbox takes them.
CREATE FUNCTION "holdfast".commit_runs(
  worker uuid, starts text, journal text, updates text, mail_done bigint[], mail text, messages text
) RETURNS void
  LANGUAGE plpgsql AS $$
BEGIN
  PERFORM "holdfast".hold_worker_lease(worker);
  IF starts IS NOT NULL THEN
    INSERT INTO "holdfast".saga_run (id, saga, version, worker, claims, status, wake_at, deadline_at, parent, parent_call)
    SELECT s.id, s.saga, s.version, s.worker, CASE WHEN s.worker IS NULL THEN 0 ELSE 1 END, s.status,
      to_timestamp(s.wake_at / 1000), to_timestamp(s.deadline_at / 1000), s.parent, s.parent_call
    FROM json_to_recordset(starts::json) AS s (id uuid, saga text, version integer, worker uuid, status text,
      wake_at double precision, deadline_at double precision, parent uuid, parent_call text);
  END IF;
  IF journal IS NOT NULL THEN
    INSERT INTO "holdfast".saga_journal (saga_id, n, events, at)
    SELECT j.id, j.n, j.events, to_timestamp(j.at / 1000)
    FROM json_to_recordset(journal::json) AS j (id uuid, n integer, events jsonb, at double precision);
  END IF;
  IF updates IS NOT NULL THEN
    UPDATE "holdfast".saga_run r SET
      status = u.status,
      reason = u.reason,
      pivoted = u.pivoted,
      worker = CASE WHEN u.release THEN NULL ELSE r.worker END,
      wake_at = CASE WHEN u.release THEN to_timestamp(u.wake_at / 1000) END,
      result = coalesce(u.result, r.result),
      error = coalesce(u.error, r.error),
      updated_at = clock_timestamp(),
      finished_at = CASE WHEN u.status IN ('completed', 'compensated') THEN coalesce(r.finished_at, clock_timestamp()) END
    FROM json_to_recordset(updates::json) AS u (id uuid, status text, reason text, pivoted boolean, release boolean,
      wake_at double precision, result jsonb, error jsonb)
    WHERE r.id = u.id AND r.worker = commit_runs.worker;
  END IF;
  IF mail_done IS NOT NULL THEN
    DELETE FROM "holdfast".saga_mail m WHERE m.id = ANY (mail_done);
  END IF;
  IF mail IS NOT NULL THEN
    INSERT INTO "holdfast".saga_mail (saga_id, kind, body)
    SELECT m.id, m.kind, m.body FROM json_to_recordset(mail::json) AS m (id uuid, kind text, body jsonb);
  END IF;
  IF messages IS NOT NULL THEN
    PERFORM "holdfast".write_outbox(messages, false);
  END IF;
END $$;
