-- The columns of a claimed run, said once.
--
-- For the operator: makes one type, and five functions anew, with the names, parameters, columns and grants they had, so workers of
-- before go on while others start. Locks no table and moves no data. A claim that begins in that very moment may fail with "cache lookup
-- failed for function"; the worker logs it and claims again.

-- What a worker needs of a run to take it up. Times in ms since the epoch. Every function that gives out runs returns this type, so a
-- further column is one ALTER TYPE ... ADD ATTRIBUTE, at the end, and one change of load_runs. Workers of before do not mind a column that
-- they do not know.
CREATE TYPE "holdfast".claimed_run AS (
  id          uuid,
  saga        text,
  version     integer,
  status      text,
  reason      text,
  pivoted     boolean,
  claims      integer,
  lost        integer,
  deadline_at double precision,
  parent      uuid,
  parent_call text,
  journal     json,
  mail        json
);

-- The return type of a function cannot be replaced, so they are dropped and made. Their grants go with them: noted here, given back
-- below.
SELECT set_config('holdfast.grants',
  coalesce(json_agg(json_build_object('signature', p.oid::regprocedure::text, 'role', a.grantee))::text, '[]'), true)
FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) AS a
WHERE p.pronamespace = '"holdfast"'::regnamespace AND p.proname IN ('load_runs', 'claim_runs', 'claim_these_runs')
  AND a.privilege_type = 'EXECUTE' AND a.grantee <> 0 AND a.grantee <> p.proowner;
DROP FUNCTION "holdfast".claim_runs(uuid, text[], integer[], integer[]);
DROP FUNCTION "holdfast".claim_these_runs(uuid, uuid[]);
DROP FUNCTION "holdfast".claim_runs(uuid, text[], integer[], integer[], bigint, bigint);
DROP FUNCTION "holdfast".claim_these_runs(uuid, uuid[], bigint, bigint);
DROP FUNCTION "holdfast".load_runs(uuid[]);

-- The one place that says where each column comes from.
CREATE FUNCTION "holdfast".load_runs(ids uuid[])
  RETURNS SETOF "holdfast".claimed_run
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
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

-- Claims due runs, oldest first, up to a limit for each version and as much as fits into `most_bytes` (see claimable_runs), and loads
-- them. The journal is read by a later statement than the one that claims, so it shows all that the last holder committed.
CREATE FUNCTION "holdfast".claim_runs(worker uuid, sagas text[], versions integer[], limits integer[], most_bytes bigint, largest bigint)
  RETURNS SETOF "holdfast".claimed_run
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
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

-- The same for given runs that nobody holds; whether they are due does not matter.
CREATE FUNCTION "holdfast".claim_these_runs(worker uuid, ids uuid[], most_bytes bigint, largest bigint)
  RETURNS SETOF "holdfast".claimed_run
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
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

-- For workers of before 0006.
CREATE FUNCTION "holdfast".claim_runs(worker uuid, sagas text[], versions integer[], limits integer[])
  RETURNS SETOF "holdfast".claimed_run
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM "holdfast".claim_runs(worker, sagas, versions, limits, 67108864, 134217728);
END $$;
CREATE FUNCTION "holdfast".claim_these_runs(worker uuid, ids uuid[])
  RETURNS SETOF "holdfast".claimed_run
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM "holdfast".claim_these_runs(worker, ids, 67108864, 134217728);
END $$;

DO $$
DECLARE
  made record;
  given record;
BEGIN
  FOR made IN
    SELECT p.oid::regprocedure::text AS signature FROM pg_proc p
    WHERE p.pronamespace = '"holdfast"'::regnamespace AND p.proname IN ('load_runs', 'claim_runs', 'claim_these_runs')
  LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', made.signature);
    FOR given IN
      SELECT pg_get_userbyid(g.role) AS role FROM json_to_recordset(current_setting('holdfast.grants')::json) AS g (signature text, role oid)
      WHERE g.signature = made.signature
    LOOP
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', made.signature, given.role);
    END LOOP;
  END LOOP;
END $$;

-- The lease of a worker is looked at in two places, and stays so: by hold_worker_lease for what is rare, and in line in commit_runs, by
-- which each step of each run goes. With a call of the function there, which has a search_path of its own to set and to take back, commits
-- of one row were slower in four of five rounds, by 15 to 77 percent (docs/adr/0019-lease-check-in-line.md).

-- worker.draining is written from now on, with each renewal of a lease; workers of before leave it false.
