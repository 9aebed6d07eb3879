-- Starting a run that has ended once more, as a new run, by a person.
--
-- For the operator: makes one table and one function. Locks no table and moves no data. Processes of before go on as they are.

-- Which run was started in place of which. Spoken to by src/saga/store/postgres; operations read it.
CREATE TABLE "holdfast".saga_restart (
  -- That had ended. It is the primary key, so that nobody starts it a second time: the new run can be started once more when it has ended.
  run          uuid        PRIMARY KEY,
  restarted_as uuid        NOT NULL UNIQUE,
  -- That the old run had and the new one has; null: none.
  key          text,
  at           timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Starts a new run with the input of one that has ended, and writes the link between both and the row of the audit, in one statement.
--   request   JSON: {id: of the new run, version, input: another one, deadline_ms: where the old one had no deadline}; what is missing is as it was
--   details   JSON, for the audit
-- Answers with JSON: {status: of the old run, or null: there is none, accepted, id: of the new run, key}; and why it was not accepted:
-- parent: it is the child of that run; restarted_as: it was started once more already; limit: most bytes that the workers take; 'forgotten':
-- its input is not there any more. The key goes to the new run, so that whoever asks by the key of an order finds the one that counts, and a
-- start with that key, come late, starts nothing.
CREATE FUNCTION "holdfast".restart_run(run uuid, request text, actor text, reason text, details text) RETURNS jsonb
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
  ended record;
  first record;
  wanted record;
  input json;
  other uuid;
  most integer;
  started jsonb;
BEGIN
  SELECT * INTO STRICT wanted FROM json_to_record(request::json) AS r (id uuid, version integer, deadline_ms double precision);
  -- Until this is committed nobody else starts it once more.
  SELECT r.saga, r.version, r.key, r.status, r.parent, r.started_at, r.finished_at, r.deadline_at
    INTO ended FROM "holdfast".saga_run r WHERE r.id = restart_run.run FOR UPDATE;
  IF NOT FOUND THEN
    RETURN jsonb_build_object('status', NULL, 'accepted', false);
  END IF;
  IF ended.finished_at IS NULL OR ended.parent IS NOT NULL THEN
    RETURN jsonb_build_object('status', ended.status, 'accepted', false, 'parent', ended.parent);
  END IF;
  SELECT x.restarted_as INTO other FROM "holdfast".saga_restart x WHERE x.run = restart_run.run;
  IF FOUND THEN
    RETURN jsonb_build_object('status', ended.status, 'accepted', false, 'restarted_as', other);
  END IF;
  -- One that is null in JSON is there.
  input := request::json -> 'input';
  SELECT j.at, j.events -> 0 -> 'input' AS input INTO first FROM "holdfast".saga_journal j
    WHERE j.saga_id = restart_run.run AND j.n = 0 AND j.events -> 0 ->> 't' = 'started';
  input := coalesce(input, first.input);
  IF input IS NULL THEN
    RETURN jsonb_build_object('status', ended.status, 'accepted', false, 'forgotten', true);
  END IF;
  -- Before anything is written: what the workers would not take is refused.
  most := "holdfast".value_limit(ended.saga, coalesce(wanted.version, ended.version), input::text);
  IF most IS NOT NULL THEN
    RETURN jsonb_build_object('status', ended.status, 'accepted', false, 'limit', most);
  END IF;
  IF ended.key IS NOT NULL THEN
    UPDATE "holdfast".saga_run r SET key = NULL WHERE r.id = restart_run.run;
  END IF;
  -- Put together as text: numbers that JavaScript could not hold stay as they are.
  started := "holdfast".start_runs('[' || left(json_build_object('id', wanted.id, 'saga', ended.saga,
    'version', coalesce(wanted.version, ended.version), 'key', ended.key,
    'deadline_ms', coalesce(extract(epoch FROM ended.deadline_at - coalesce(first.at, ended.started_at)) * 1000, wanted.deadline_ms))::text, -1) || ',"input":' || input::text || '}]', false);
  IF NOT (started -> 0 ->> 'created')::boolean THEN
    RAISE EXCEPTION 'the id % belongs to another run', wanted.id USING ERRCODE = '23505', CONSTRAINT = 'saga_run_pkey';
  END IF;
  INSERT INTO "holdfast".saga_restart (run, restarted_as, key) VALUES (restart_run.run, wanted.id, ended.key);
  INSERT INTO "holdfast".audit (actor, action, subject, reason, details)
  VALUES (restart_run.actor, 'saga.restart', restart_run.run::text, restart_run.reason,
    jsonb_build_object('status', ended.status, 'as', wanted.id, 'version', coalesce(wanted.version, ended.version))
      || restart_run.details::jsonb);
  RETURN jsonb_build_object('status', ended.status, 'accepted', true, 'id', wanted.id, 'key', ended.key,
    'version', coalesce(wanted.version, ended.version));
END $$;

-- Whoever may act on runs may start one once more; whoever reads runs reads what became of them; whoever deletes runs deletes this with them.
REVOKE ALL ON FUNCTION "holdfast".restart_run(uuid, text, text, text, text) FROM PUBLIC;
DO $$
DECLARE
  given record;
BEGIN
  FOR given IN
    SELECT DISTINCT pg_get_userbyid(a.grantee) AS role FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) AS a
    WHERE p.pronamespace = '"holdfast"'::regnamespace AND p.proname = 'act_on_saga_run' AND a.grantee <> 0 AND a.grantee <> p.proowner
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION "holdfast".restart_run(uuid, text, text, text, text) TO %I', given.role);
  END LOOP;
  FOR given IN
    SELECT DISTINCT pg_get_userbyid(a.grantee) AS role, a.privilege_type AS privilege
    FROM pg_class t CROSS JOIN LATERAL aclexplode(t.relacl) AS a
    WHERE t.oid = '"holdfast".saga_run'::regclass AND a.privilege_type IN ('SELECT', 'DELETE') AND a.grantee <> 0 AND a.grantee <> t.relowner
  LOOP
    EXECUTE format('GRANT %s ON "holdfast".saga_restart TO %I', given.privilege, given.role);
  END LOOP;
END $$;
