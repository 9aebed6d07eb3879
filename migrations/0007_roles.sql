-- What each role may do, and functions that whoever calls them cannot lead astray.
--
-- For the operator: pins the search_path of all functions, lets those by which services write run with their owner's rights, and takes
-- EXECUTE on all of them from PUBLIC. Roles that could write by table grants until now are given EXECUTE on what replaces these, so
-- that nothing stops; then apply the grants of docs/roles.md, which also say what to revoke. Moves no data.

-- Who calls, also inside a function that runs with its owner's rights: the role that SET ROLE has chosen, else the one that logged in.
CREATE FUNCTION "holdfast".calling_role() RETURNS name
  LANGUAGE sql STABLE PARALLEL SAFE
  RETURN coalesce(nullif(current_setting('role', true), 'none'), session_user)::name;

-- The topics that a role may send to, as patterns and as regular expressions. A role without a row may send to all. Spoken to by
-- allow_topics and check_topics alone.
CREATE TABLE "holdfast".topic_right (
  role_name name NOT NULL,
  pattern   text NOT NULL CHECK (length(pattern) <= 200 AND pattern ~ '^([A-Za-z0-9_-]+|[*][*]?)([.]([A-Za-z0-9_-]+|[*][*]?))*$'),
  regex     text NOT NULL,
  PRIMARY KEY (role_name, pattern)
);

-- Looks at what a role writes into the log. The triggers that call it are made by allow_topics, so that nothing is asked of those who
-- have never limited anybody.
CREATE FUNCTION "holdfast".check_topic() RETURNS trigger
  LANGUAGE plpgsql AS $$
DECLARE
  caller name := "holdfast".calling_role();
BEGIN
  IF EXISTS (SELECT 1 FROM "holdfast".topic_right r WHERE r.role_name = caller)
    AND NOT EXISTS (SELECT 1 FROM "holdfast".topic_right r WHERE r.role_name = caller AND NEW.topic ~ r.regex) THEN
    RAISE EXCEPTION 'the role % may not send to the topic %', quote_ident(caller), quote_literal(NEW.topic) USING ERRCODE = '42501',
      HINT = 'The owner of the schema says what it may by allow_topics.';
  END IF;
  RETURN NEW;
END $$;

-- SELECT holdfast.allow_topics('shop', '{order.**,payment.charge}');  An empty array allows all again. For the owner of the schema; takes
-- effect with its commit. The first use puts triggers on the two tables that are written, and waits a moment for writers to end.
CREATE FUNCTION "holdfast".allow_topics(role_name name, patterns text[]) RETURNS void
  LANGUAGE plpgsql
  SET lock_timeout = '3s'
AS $$
DECLARE
  written name;
BEGIN
  IF to_regrole(quote_ident(allow_topics.role_name)) IS NULL THEN
    RAISE EXCEPTION 'holdfast.allow_topics: there is no role %', quote_ident(allow_topics.role_name) USING ERRCODE = '42704';
  END IF;
  DELETE FROM "holdfast".topic_right r WHERE r.role_name = allow_topics.role_name;
  INSERT INTO "holdfast".topic_right (role_name, pattern, regex)
  SELECT DISTINCT allow_topics.role_name, p.pattern, '^' || CASE
      WHEN c.pattern = '**' THEN '.+'
      -- ** at the start brings its dot along, and one further on the dot before it; * is one segment.
      ELSE replace(replace(replace(replace(
        replace(regexp_replace(c.pattern, '^[*][*][.]', '<'), '.**', '>'),
        '.', '[.]'), '*', '[^.]+'), '<', '([^.]+[.])*'), '>', '([.][^.]+)*')
    END || '$'
  FROM unnest(patterns) AS p (pattern)
  CROSS JOIN LATERAL (SELECT regexp_replace(p.pattern, '[*][*]([.][*][*])+', '**', 'g')) AS c (pattern);
  IF cardinality(patterns) > 0 THEN
    FOREACH written IN ARRAY '{outbox,scheduled_message}'::name[] LOOP
      IF NOT EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = ('"holdfast".' || written)::regclass AND t.tgname = 'topics_are_allowed') THEN
        EXECUTE format('CREATE TRIGGER topics_are_allowed BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION "holdfast".check_topic()',
          '"holdfast".' || written);
      END IF;
    END LOOP;
  END IF;
END $$;

-- What people did stays as it was written, whoever asks. `by_role` is the role of the database that wrote it, which no caller chooses.
ALTER TABLE "holdfast".audit ADD COLUMN by_role name;
CREATE FUNCTION "holdfast".keep_audit() RETURNS trigger
  LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.by_role := "holdfast".calling_role();
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'rows of the audit are neither changed nor deleted' USING ERRCODE = '42501';
END $$;
CREATE TRIGGER audit_is_kept BEFORE INSERT OR UPDATE OR DELETE ON "holdfast".audit FOR EACH ROW EXECUTE FUNCTION "holdfast".keep_audit();

-- What clients of sagas may know of runs, by their ids: JSON, in the order of the ids, without those that are not there. Times in ms.
CREATE FUNCTION "holdfast".read_runs(ids uuid[]) RETURNS text
  LANGUAGE plpgsql STABLE
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
BEGIN
  RETURN (
    SELECT json_agg(json_build_object('id', r.id, 'saga', r.saga, 'version', r.version, 'key', r.key, 'status', r.status, 'reason', r.reason,
        'pivoted', r.pivoted, 'growth', coalesce(r.growth, 0), 'result', r.result, 'error', r.error,
        'refused', coalesce(r.refused, '[]'), 'startedAt', round(extract(epoch FROM r.started_at) * 1000),
        'finishedAt', round(extract(epoch FROM r.finished_at) * 1000)) ORDER BY i.place)
    FROM unnest(ids) WITH ORDINALITY AS i (id, place)
    CROSS JOIN LATERAL (SELECT * FROM "holdfast".saga_run x WHERE x.id = i.id OFFSET 0) AS r);
END $$;

-- The run that a saga started with a key; null: none. Whoever has the key of an order may ask for its run.
CREATE FUNCTION "holdfast".find_run(saga text, key text) RETURNS uuid
  LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT r.id FROM "holdfast".saga_run r WHERE r.saga = find_run.saga AND r.key = find_run.key);
END $$;

-- The three doors by which something comes to a run. Each lets in its own kinds, and `body` must be of the kind it is announced as; see
-- send_saga_mail for the answer.
-- 1. Of clients: signals and cancellations.
CREATE FUNCTION "holdfast".post_saga_mail(saga_id uuid, kind text, body text, statuses text[], require_transaction boolean) RETURNS jsonb
  LANGUAGE plpgsql AS $$
BEGIN
  IF kind NOT IN ('signal', 'cancel') OR kind IS DISTINCT FROM body::json ->> 'kind' THEN
    RAISE EXCEPTION 'clients send signals and cancellations, not %', quote_nullable(kind) USING ERRCODE = '42501';
  END IF;
  RETURN "holdfast".send_saga_mail(saga_id, kind, body, statuses, require_transaction);
END $$;

-- 2. Of those who take in the replies of participants.
CREATE FUNCTION "holdfast".post_saga_reply(saga_id uuid, body text, statuses text[], require_transaction boolean) RETURNS jsonb
  LANGUAGE plpgsql AS $$
BEGIN
  IF body::json ->> 'kind' IS DISTINCT FROM 'reply' THEN
    RAISE EXCEPTION 'this is no reply' USING ERRCODE = '42501';
  END IF;
  RETURN "holdfast".send_saga_mail(saga_id, 'reply', body, statuses, require_transaction);
END $$;

-- 3. Of people, with the row of the audit in the same statement: `details` is completed by the status in which the run was met.
CREATE FUNCTION "holdfast".act_on_saga_run(saga_id uuid, body text, statuses text[], actor text, reason text, details text) RETURNS jsonb
  LANGUAGE plpgsql AS $$
DECLARE
  act_kind text := body::json ->> 'kind';
  answer jsonb;
BEGIN
  IF act_kind IS NULL OR act_kind NOT IN ('signal', 'cancel', 'retry', 'skip', 'resolve') THEN
    RAISE EXCEPTION 'people do not send %', quote_nullable(act_kind) USING ERRCODE = '42501';
  END IF;
  answer := "holdfast".send_saga_mail(saga_id, act_kind, body,
    ARRAY(SELECT s FROM unnest(statuses) AS s WHERE act_kind IN ('signal', 'cancel') OR s = 'stuck'), false);
  IF (answer ->> 'accepted')::boolean THEN
    INSERT INTO "holdfast".audit (actor, action, subject, reason, details)
    VALUES (act_on_saga_run.actor, 'saga.' || act_kind, act_on_saga_run.saga_id::text, act_on_saga_run.reason,
      jsonb_build_object('status', answer ->> 'status') || act_on_saga_run.details::jsonb);
  END IF;
  RETURN answer;
END $$;

DO $$
DECLARE
  -- By which others write or read what they have no rights on: run with the owner's.
  doors text[] := '{write_message,write_outbox,send,schedule_messages,start_runs,read_runs,find_run,post_saga_mail,post_saga_reply,'
    'act_on_saga_run,redelivery_horizon_ms}';
  -- Asked by triggers and by functions that run as their caller, and before anything is written: they tell and change nothing that would
  -- have to be kept from anybody.
  everybodys text[] := '{calling_role,at_home,sequences_behind,raise_sequences,server_timeline}';
  made record;
  given record;
BEGIN
  FOR made IN
    SELECT p.oid::regprocedure::text AS signature, p.proname::text AS name, p.prosqlbody IS NOT NULL AS bound
    FROM pg_proc p WHERE p.pronamespace = '"holdfast"'::regnamespace
  LOOP
    -- A body in standard SQL was bound to what it calls when it was made; pinning it would only keep it from being inlined.
    IF NOT made.bound THEN
      EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp', made.signature);
    END IF;
    IF made.name = ANY (doors) THEN
      EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', made.signature);
    END IF;
    -- Whoever may use the schema may ask these.
    CONTINUE WHEN made.name = ANY (everybodys);
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', made.signature);
    -- Whoever had grants on tables had the functions from PUBLIC.
    FOR given IN
      SELECT DISTINCT pg_get_userbyid(a.grantee) AS role
      FROM pg_class t CROSS JOIN LATERAL aclexplode(t.relacl) AS a
      WHERE t.relnamespace = '"holdfast"'::regnamespace AND t.relkind IN ('r', 'S') AND a.grantee <> 0 AND a.grantee <> t.relowner
    LOOP
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', made.signature, given.role);
    END LOOP;
  END LOOP;
END $$;
