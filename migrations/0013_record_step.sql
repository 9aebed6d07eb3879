-- What a transaction step writes beside its effect: the fence of the lease, and its row of the journal.
--
-- For the operator: adds one function, and gives EXECUTE on it to whoever may commit runs. Locks no table and moves no data; workers of
-- before do not call it.

-- As commit_runs for a single row, without the parameters that a transaction step never has. `status` and
-- `reason` are those of a run that passes its pivot with this row; null: nothing of the run changes but its journal.
CREATE FUNCTION "holdfast".record_step(
  worker uuid, run uuid, n integer, at double precision, events json, status text DEFAULT NULL, reason text DEFAULT NULL
) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- The fence. The row of the worker is held until COMMIT, so a takeover that has deleted it has waited for this.
  PERFORM 1 FROM "holdfast".worker w WHERE w.id = record_step.worker AND w.lease_until > clock_timestamp() FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the lease of worker % is over', worker USING ERRCODE = 'HF001';
  END IF;
  INSERT INTO "holdfast".saga_journal (saga_id, n, events, at, bytes)
  VALUES (run, record_step.n, record_step.events, to_timestamp(record_step.at / 1000), octet_length(record_step.events::text));
  IF record_step.status IS NOT NULL THEN
    UPDATE "holdfast".saga_run r SET
      status = record_step.status, reason = record_step.reason, pivoted = true, wake_at = NULL, updated_at = clock_timestamp(),
      error = CASE WHEN record_step.status IN ('compensating', 'compensated', 'stuck') THEN r.error END
    WHERE r.id = run AND r.worker = record_step.worker;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'worker % does not hold the run', worker USING ERRCODE = 'HF002';
    END IF;
  END IF;
END $$;

REVOKE ALL ON FUNCTION "holdfast".record_step(uuid, uuid, integer, double precision, json, text, text) FROM PUBLIC;
DO $$
DECLARE
  given record;
BEGIN
  FOR given IN
    SELECT DISTINCT pg_get_userbyid(a.grantee) AS role FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) AS a
    WHERE p.pronamespace = '"holdfast"'::regnamespace AND p.proname = 'commit_runs' AND a.privilege_type = 'EXECUTE'
      AND a.grantee <> 0 AND a.grantee <> p.proowner
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION "holdfast".record_step(uuid, uuid, integer, double precision, json, text, text) TO %I', given.role);
  END LOOP;
END $$;
