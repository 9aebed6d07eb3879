-- Guards of runs, their journals and their messages.
--
-- For the operator: replaces functions and adds columns with constant defaults in the schema "holdfast"; locks the tables it
-- changes for milliseconds and moves no data.

-- What is counted is weighed as well: UTF-8 bytes of the JSON beside it. Null, in rows that older code wrote: not known, and asked of the
-- row itself.
ALTER TABLE "holdfast".saga_journal ADD COLUMN bytes integer;
ALTER TABLE "holdfast".saga_mail ADD COLUMN bytes integer;
ALTER TABLE "holdfast".saga_run
  -- How full its journal is, in percent of what its worker allows: 50, 80 or 100; null: less.
  ADD COLUMN growth smallint,
  -- Signals that it has taken in and its code has not waited for, and their bytes; about, and null for none.
  ADD COLUMN signals integer,
  ADD COLUMN signal_bytes bigint,
  -- Fingerprints of declarations that it was found not to fit. Workers that have one of these leave it to those that have another.
  ADD COLUMN misfits text[],
  -- What came for it too late and has changed nothing, the last of it: [{"what": "cancel"}]; null: nothing.
  ADD COLUMN refused json;
ALTER TABLE "holdfast".worker
  -- What it has declared, as fingerprints by saga and version: {"place-order@1": "0f3a"}.
  ADD COLUMN codes jsonb NOT NULL DEFAULT '{}',
  -- Most UTF-8 bytes of one value that it takes; null: not known.
  ADD COLUMN max_bytes integer,
  -- What a journal may hold: beyond it a run makes no more calls.
  ADD COLUMN max_events integer,
  ADD COLUMN max_journal_bytes bigint;

-- Most bytes of one value that every live worker of a saga takes, if a text has more; null: it has not, or none is known. Short texts are
-- not asked about.
CREATE FUNCTION "holdfast".value_limit(saga text, version integer, value text) RETURNS integer
  LANGUAGE plpgsql STABLE AS $$
DECLARE
  most integer;
BEGIN
  IF octet_length(value) <= 16384 THEN
    RETURN NULL;
  END IF;
  SELECT min(w.max_bytes) INTO most FROM "holdfast".worker w
    WHERE w.lease_until > clock_timestamp() AND w.sagas ? (saga || '@' || version);
  RETURN CASE WHEN octet_length(value) > most THEN most END;
END $$;

-- Whether a cancellation may still come too late although it is let in: the run's pivot is under way, or it is a child that has done its
-- work and waits for its parent. Asked for each cancellation, so it reads the journal and costs nothing else.
CREATE FUNCTION "holdfast".is_undecided(saga_id uuid) RETURNS boolean
  LANGUAGE plpgsql STABLE
  SET enable_seqscan = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM "holdfast".saga_journal j CROSS JOIN LATERAL json_array_elements(j.events) AS e (event)
    WHERE j.saga_id = is_undecided.saga_id AND (j.events::text LIKE '%"pivot":true%' OR j.events::text LIKE '%"t":"held"%')
      AND (e.event ->> 't' = 'held' OR (e.event ->> 't' = 'called' AND e.event ->> 'pivot' = 'true' AND NOT EXISTS (
        SELECT FROM "holdfast".saga_journal f CROSS JOIN LATERAL json_array_elements(f.events) AS x (event)
        WHERE f.saga_id = is_undecided.saga_id AND f.n >= j.n AND f.events::text LIKE '%"t":"failed"%'
          AND x.event ->> 't' = 'failed' AND x.event ->> 'call' = e.event ->> 'call'))));
END $$;

-- As in 0003, with signals counted at the door, in number and in bytes: `full` says that this is why it was refused. 1,000 and 16 MiB,
-- as in src/saga/store/store.ts. `undecided`: a cancellation that was let in may come too late all the same.
CREATE OR REPLACE FUNCTION "holdfast".send_saga_mail(saga_id uuid, kind text, body text, statuses text[], require_transaction boolean) RETURNS jsonb
  LANGUAGE plpgsql
  -- Without jit = off the price of a forbidden scan (of the sequence in wake_workers, say) has the server compile each statement.
  SET enable_seqscan = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
  run record;
  refused boolean;
  is_full boolean := false;
  undecided boolean := false;
  most integer;
  size integer := octet_length(send_saga_mail.body);
BEGIN
  IF require_transaction AND pg_current_xact_id_if_assigned() IS NULL THEN
    PERFORM pg_current_xact_id();
    RETURN NULL;
  END IF;
  -- Accepted means that it takes effect, so the run must not end between this look and the end of this transaction. In the transaction of
  -- a service, which may last, nothing is held: there it may come too late, which the run then records.
  IF send_saga_mail.kind = 'cancel' AND NOT require_transaction THEN
    PERFORM 1 FROM "holdfast".saga_run r WHERE r.id = send_saga_mail.saga_id FOR SHARE;
  END IF;
  SELECT r.saga, r.version, r.status, r.pivoted, coalesce(r.signals, 0) AS signals,
    coalesce(r.signal_bytes, 0) AS signal_bytes INTO run FROM "holdfast".saga_run r WHERE r.id = send_saga_mail.saga_id;
  IF NOT FOUND THEN
    RETURN jsonb_build_object('status', NULL, 'pivoted', false, 'accepted', false);
  END IF;
  refused := NOT run.status = ANY (statuses) OR (send_saga_mail.kind = 'cancel' AND run.pivoted);
  IF NOT refused AND send_saga_mail.kind = 'signal' THEN
    -- What is on its way, and what the run has taken in and its code has not waited for.
    SELECT count(*) + run.signals >= 1000 OR coalesce(sum(coalesce(m.bytes, octet_length(m.body::text))), 0) + run.signal_bytes + size > 16777216
      INTO is_full
      FROM (SELECT x.bytes, x.body FROM "holdfast".saga_mail x
        WHERE x.saga_id = send_saga_mail.saga_id AND x.kind = 'signal' ORDER BY x.id LIMIT 1000) AS m;
    most := "holdfast".value_limit(run.saga, run.version, send_saga_mail.body::json ->> 'payload');
    refused := is_full OR most IS NOT NULL;
  END IF;
  IF NOT refused THEN
    INSERT INTO "holdfast".saga_mail (saga_id, saga, version, kind, body, bytes)
    VALUES (send_saga_mail.saga_id, run.saga, run.version, send_saga_mail.kind, send_saga_mail.body::json, size);
    PERFORM "holdfast".wake_workers();
    IF send_saga_mail.kind = 'cancel' THEN
      undecided := require_transaction OR "holdfast".is_undecided(send_saga_mail.saga_id);
    END IF;
  END IF;
  RETURN jsonb_build_object('status', run.status, 'pivoted', run.pivoted, 'accepted', NOT refused, 'full', is_full, 'limit', most,
    'undecided', undecided);
END $$;

-- As in 0003, with the bytes of each row of the journal, and with no more mail than fits into memory.
CREATE OR REPLACE FUNCTION "holdfast".load_runs(ids uuid[])
  RETURNS TABLE (id uuid, saga text, version integer, status text, reason text, pivoted boolean, claims integer, lost integer,
    deadline_at double precision, parent uuid, parent_call text, journal json, mail json)
  LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
BEGIN
  RETURN QUERY SELECT r.id, r.saga, r.version, r.status, r.reason, r.pivoted, r.claims, r.lost,
    round(extract(epoch FROM r.deadline_at) * 1000)::double precision, r.parent, r.parent_call,
    (SELECT json_agg(json_build_object('n', j.n, 'at', round(extract(epoch FROM j.at) * 1000), 'events', j.events,
        'bytes', coalesce(j.bytes, octet_length(j.events::text))) ORDER BY j.n)
      FROM "holdfast".saga_journal j WHERE j.saga_id = r.id),
    -- As much as may be on its way at the door; what else there is comes by the look for mail.
    -- With the time at which it came, by which it is told before or after a timer.
    (SELECT json_agg(json_build_object('id', m.id::text, 'body', m.body, 'bytes', m.size,
        'at', floor(extract(epoch FROM m.at) * 1000)) ORDER BY m.id)
      FROM (SELECT x.id, x.body, x.size, x.at, sum(x.size) OVER (ORDER BY x.id ROWS UNBOUNDED PRECEDING) AS so_far
        FROM (SELECT y.id, y.body, y.at, coalesce(y.bytes, octet_length(y.body::text)) AS size FROM "holdfast".saga_mail y
          WHERE y.saga_id = r.id ORDER BY y.id) AS x) AS m
      WHERE m.so_far - m.size < 33554432)
  FROM unnest(ids) WITH ORDINALITY AS i (id, place)
  CROSS JOIN LATERAL (SELECT * FROM "holdfast".saga_run x WHERE x.id = i.id OFFSET 0) AS r ORDER BY i.place;
END $$;

-- Whether a worker may take up a run that did not fit some declarations: always, unless its own is one of them while another worker
-- offers one that is not.
CREATE FUNCTION "holdfast".may_take_run(worker uuid, saga text, version integer, misfits text[]) RETURNS boolean
  LANGUAGE plpgsql STABLE AS $$
DECLARE
  offer text := saga || '@' || version;
BEGIN
  RETURN NOT EXISTS (SELECT 1 FROM "holdfast".worker w WHERE w.id = may_take_run.worker AND w.codes ->> offer = ANY (misfits))
    OR NOT EXISTS (SELECT 1 FROM "holdfast".worker w WHERE w.id <> may_take_run.worker AND w.lease_until > clock_timestamp()
      AND NOT w.draining AND w.sagas ? offer AND (w.codes ->> offer = ANY (misfits)) IS NOT TRUE);
END $$;

-- Of locked runs, in their order: those that may be claimed, as many as fit into `most_bytes`, and one at least. One with a journal over
-- `largest` is set aside as stuck without being loaded: no worker could hold it.
CREATE FUNCTION "holdfast".claimable_runs(ids uuid[], most_bytes bigint, largest bigint) RETURNS uuid[]
  LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
  run record;
  so_far bigint := 0;
  claimable uuid[] := '{}';
  why json;
BEGIN
  FOR run IN
    SELECT i.id, j.bytes, least(m.bytes, 33554432) AS mail_bytes, coalesce(j.last, -1) AS last
    FROM unnest(ids) WITH ORDINALITY AS i (id, place)
    CROSS JOIN LATERAL (SELECT coalesce(sum(coalesce(x.bytes, octet_length(x.events::text))), 0)::bigint AS bytes, max(x.n) AS last
      FROM "holdfast".saga_journal x WHERE x.saga_id = i.id) AS j
    CROSS JOIN LATERAL (SELECT coalesce(sum(coalesce(x.bytes, octet_length(x.body::text))), 0)::bigint AS bytes
      FROM "holdfast".saga_mail x WHERE x.saga_id = i.id) AS m
    ORDER BY i.place
  LOOP
    IF run.bytes > largest THEN
      why := json_build_object('name', 'HoldfastError', 'code', 'HF_JOURNAL_FULL', 'message', 'The journal has ' || run.bytes
        || ' bytes; a worker reads at most ' || largest || '. It was set aside without being read: start a worker with a higher '
        || 'maxJournalBytes and have it retried, or cancel it.');
      UPDATE "holdfast".saga_run r SET status = 'stuck', error = why, growth = 100, wake_at = NULL, updated_at = clock_timestamp()
        WHERE r.id = run.id AND r.status NOT IN ('completed', 'compensated', 'stuck');
      IF FOUND THEN
        INSERT INTO "holdfast".saga_journal (saga_id, n, events, at)
        VALUES (run.id, run.last + 1, json_build_array(json_build_object('t', 'stuck', 'why', 'journal full', 'error', why)),
          date_trunc('milliseconds', clock_timestamp()));
      END IF;
      CONTINUE;
    END IF;
    EXIT WHEN so_far > 0 AND so_far + run.bytes + run.mail_bytes > most_bytes;
    so_far := so_far + run.bytes + run.mail_bytes;
    claimable := claimable || run.id;
  END LOOP;
  RETURN claimable;
END $$;

-- As in 0003, as much as fits into `most_bytes`; see claimable_runs.
CREATE FUNCTION "holdfast".claim_runs(worker uuid, sagas text[], versions integer[], limits integer[], most_bytes bigint, largest bigint)
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
        AND (r.misfits IS NULL OR "holdfast".may_take_run(claim_runs.worker, r.saga, r.version, r.misfits))
      ORDER BY r.wake_at LIMIT limits[i] FOR NO KEY UPDATE SKIP LOCKED);
    claimed := claimed || batch;
  END LOOP;
  claimed := "holdfast".claimable_runs(claimed, most_bytes, largest);
  UPDATE "holdfast".saga_run r SET worker = claim_runs.worker, claims = r.claims + 1, wake_at = NULL WHERE r.id = ANY (claimed);
  RETURN QUERY SELECT * FROM "holdfast".load_runs(claimed);
END $$;

CREATE FUNCTION "holdfast".claim_these_runs(worker uuid, ids uuid[], most_bytes bigint, largest bigint)
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
    SELECT r.id FROM "holdfast".saga_run r WHERE r.id = ANY (ids) AND r.worker IS NULL
      AND (r.misfits IS NULL OR "holdfast".may_take_run(claim_these_runs.worker, r.saga, r.version, r.misfits))
    FOR NO KEY UPDATE SKIP LOCKED);
  claimed := "holdfast".claimable_runs(claimed, most_bytes, largest);
  UPDATE "holdfast".saga_run r SET worker = claim_these_runs.worker, claims = r.claims + 1, wake_at = NULL WHERE r.id = ANY (claimed);
  RETURN QUERY SELECT * FROM "holdfast".load_runs(claimed);
END $$;

-- For workers of before.
CREATE OR REPLACE FUNCTION "holdfast".claim_runs(worker uuid, sagas text[], versions integer[], limits integer[])
  RETURNS TABLE (id uuid, saga text, version integer, status text, reason text, pivoted boolean, claims integer, lost integer,
    deadline_at double precision, parent uuid, parent_call text, journal json, mail json)
  LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT * FROM "holdfast".claim_runs(worker, sagas, versions, limits, 67108864, 134217728);
END $$;
CREATE OR REPLACE FUNCTION "holdfast".claim_these_runs(worker uuid, ids uuid[])
  RETURNS TABLE (id uuid, saga text, version integer, status text, reason text, pivoted boolean, claims integer, lost integer,
    deadline_at double precision, parent uuid, parent_call text, journal json, mail json)
  LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT * FROM "holdfast".claim_these_runs(worker, ids, 67108864, 134217728);
END $$;

-- As in 0003, up to `most_bytes` of what is for the worker's own runs, and one piece at least unless that is 0.
CREATE FUNCTION "holdfast".pending_saga_mail(worker uuid, sagas text[], versions integer[], taken bigint[], page integer, most_bytes bigint)
  RETURNS TABLE (id bigint, saga_id uuid, held boolean, body json, bytes integer, at double precision)
  LANGUAGE plpgsql STABLE
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off
  SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
BEGIN
  FOR i IN 1 .. cardinality(sagas) LOOP
    RETURN QUERY
      SELECT p.id, p.saga_id, p.held, CASE WHEN p.held THEN p.body END, p.size,
        floor(extract(epoch FROM p.at) * 1000)::double precision
      FROM (SELECT q.*, sum(q.size) OVER (ORDER BY q.id ROWS UNBOUNDED PRECEDING) AS so_far
      FROM (SELECT m.id, m.saga_id, r.worker IS NOT NULL AS held, m.body, m.at,
        CASE WHEN r.worker IS NULL THEN 0 ELSE coalesce(m.bytes, octet_length(m.body::text)) END AS size
      FROM "holdfast".saga_mail m
      CROSS JOIN LATERAL (SELECT x.worker FROM "holdfast".saga_run x WHERE x.id = m.saga_id OFFSET 0) AS r
      WHERE m.saga = sagas[i] AND m.version = versions[i] AND (r.worker IS NULL OR r.worker = pending_saga_mail.worker)
        AND NOT m.id = ANY (taken)
      ORDER BY m.id LIMIT page) AS q) AS p
      WHERE NOT p.held OR p.so_far - p.size < most_bytes;
  END LOOP;
END $$;

-- The mail of some runs, oldest first: up to `page` pieces and one more, and the bodies up to `most_bytes`; null beyond that. For runs of
-- which a timer is due: what came before it is told before it.
CREATE FUNCTION "holdfast".saga_mail_of(runs uuid[], taken bigint[], page integer, most_bytes bigint)
  RETURNS TABLE (id bigint, saga_id uuid, body json, bytes integer, at double precision)
  LANGUAGE plpgsql STABLE
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
BEGIN
  RETURN QUERY
    SELECT p.id, p.saga_id, CASE WHEN p.so_far - p.size < most_bytes THEN p.body END, p.size,
      floor(extract(epoch FROM p.at) * 1000)::double precision
    FROM (SELECT q.*, sum(q.size) OVER (ORDER BY q.id ROWS UNBOUNDED PRECEDING) AS so_far
      FROM (SELECT m.id, m.saga_id, m.body, m.at, coalesce(m.bytes, octet_length(m.body::text)) AS size
        FROM unnest(runs) AS u (id)
        CROSS JOIN LATERAL (SELECT * FROM "holdfast".saga_mail x WHERE x.saga_id = u.id OFFSET 0) AS m
        WHERE NOT m.id = ANY (taken) ORDER BY m.id LIMIT page + 1) AS q) AS p;
END $$;

-- Runs near what their journals may hold: few, and shown before they are full.
CREATE INDEX saga_run_grown ON "holdfast".saga_run (id) WHERE growth > 0 AND finished_at IS NULL;

-- Who was told that a run is cancelled must not see it complete: asked for at each end, and empty nearly always.
CREATE INDEX saga_mail_revoking ON "holdfast".saga_mail (saga_id) WHERE kind IN ('cancel', 'undo');

-- As in 0003, with the figures that runs keep beside their journals, and `folded`: rows of the journal that go with this commit, because
-- a new one says what they said. `guarded`: the run ends, or begins its pivot, and must not while it is to be undone: HF004 names those.
CREATE OR REPLACE FUNCTION "holdfast".commit_runs(
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
  revoked text;
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
    INSERT INTO "holdfast".saga_journal (saga_id, n, events, at, bytes)
    SELECT j.id, j.n, j.events, coalesce(to_timestamp(j.at / 1000), clock_timestamp()), octet_length(j.events::text)
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
      growth = coalesce(u.growth, r.growth),
      signals = coalesce(u.signals, r.signals),
      signal_bytes = coalesce(u.signal_bytes, r.signal_bytes),
      misfits = CASE WHEN u.misfit IS NULL THEN r.misfits ELSE array_append(r.misfits, u.misfit) END,
      refused = coalesce(u.refused, r.refused),
      updated_at = clock_timestamp(),
      finished_at = CASE WHEN u.ended THEN coalesce(r.finished_at, clock_timestamp()) END
    FROM (
      SELECT x.id, x.status, x.reason, coalesce(x.pivoted, false) AS pivoted, coalesce(x.release, false) AS release, x.wake_at, x.result,
        x.error, x.status IN ('completed', 'compensated') AS ended, x.growth, x.signals, x.signal_bytes, x.misfit, x.refused,
        held.tid
      FROM json_to_recordset(updates) AS x (id uuid, status text, reason text, pivoted boolean, release boolean,
        wake_at double precision, result json, error json, growth smallint, signals integer, signal_bytes bigint, misfit text,
        refused json)
      CROSS JOIN LATERAL (SELECT y.ctid AS tid FROM "holdfast".saga_run y WHERE y.id = x.id OFFSET 0) AS held
    ) AS u
    WHERE r.ctid = u.tid AND r.worker IS NOT DISTINCT FROM commit_runs.worker;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> updated THEN
      RAISE EXCEPTION 'worker % does not hold % of % runs', worker, updated - changed, updated USING ERRCODE = 'HF002';
    END IF;
    -- Few commits have it, and reading the updates a second time costs all of them more than this look.
    IF strpos(updates::text, '"folded":[') > 0 THEN
      DELETE FROM "holdfast".saga_journal j
      USING json_to_recordset(updates) AS x (id uuid, folded json) CROSS JOIN LATERAL json_array_elements_text(x.folded) AS f (n)
      WHERE x.folded IS NOT NULL AND j.saga_id = x.id AND j.n = f.n::integer;
    END IF;
  END IF;
  IF mail_done IS NOT NULL THEN
    DELETE FROM "holdfast".saga_mail m WHERE m.id = ANY (mail_done);
  END IF;
  -- After the rows of the runs were changed: who cancels holds the row of the run until that is written (send_saga_mail), so either it is
  -- seen here, or the run is seen there as it has become.
  IF updates IS NOT NULL AND EXISTS (SELECT FROM "holdfast".saga_mail m WHERE m.kind IN ('cancel', 'undo')) THEN
    SELECT string_agg(x.id::text, ',') INTO revoked
    FROM json_to_recordset(updates) AS x (id uuid, guarded boolean)
    WHERE x.guarded AND EXISTS (SELECT FROM "holdfast".saga_mail m WHERE m.saga_id = x.id AND m.kind IN ('cancel', 'undo'));
    IF revoked IS NOT NULL THEN
      RAISE EXCEPTION 'runs are to be undone that were about to go on' USING ERRCODE = 'HF004', DETAIL = revoked;
    END IF;
  END IF;
  IF mail IS NOT NULL THEN
    INSERT INTO "holdfast".saga_mail (saga_id, saga, version, kind, body, bytes)
    SELECT r.id, r.saga, r.version, m.body ->> 'kind', m.body, octet_length(m.body::text)
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

-- As in 0003, and `other_input`: the run was there already, and was started with another input.
CREATE OR REPLACE FUNCTION "holdfast".start_runs(runs text, require_transaction boolean) RETURNS jsonb
  LANGUAGE plpgsql
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
      AS r (id uuid, saga text, version integer, key text, input json, deadline_ms double precision)
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
        || coalesce(',"deadlineAt":' || round(extract(epoch FROM deadline) * 1000)::bigint, '') || '}]')::json, starting);
    END IF;
    -- Whoever gives a key, or an id, a second time with another input gets the first run, and is told so.
    started := started || jsonb_build_object('id', found_id, 'created', created, 'other_input', NOT created AND coalesce((
      SELECT (j.events -> 0 -> 'input')::jsonb <> run.input::jsonb FROM "holdfast".saga_journal j WHERE j.saga_id = found_id AND j.n = 0), false));
  END LOOP;
  PERFORM "holdfast".wake_workers();
  RETURN started;
END $$;
