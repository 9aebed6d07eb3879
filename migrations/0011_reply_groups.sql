-- Replies for runs, many in one statement.
--
-- For the operator: makes one function in the schema "holdfast"; locks no table and moves no data.

-- Stores replies that have come at about the same time, each with the mark of its message in the inbox of the consumer. Elements stand
-- beside each other, and no message is given twice. Answers for each, in order: `stored`; `known`, it has its mark already; `stray`, there
-- is no such run, and nothing is written for it.
CREATE FUNCTION "holdfast".post_saga_replies(consumer text, message_ids uuid[], saga_ids uuid[], bodies text[]) RETURNS text[]
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
  answers text[];
BEGIN
  IF EXISTS (SELECT FROM unnest(bodies) AS b (body) WHERE b.body::json ->> 'kind' IS DISTINCT FROM 'reply') THEN
    RAISE EXCEPTION 'this is no reply' USING ERRCODE = '42501';
  END IF;
  WITH arrived AS MATERIALIZED (
    SELECT m.id, m.run, m.body, m.place, r.saga, r.version
    FROM unnest(message_ids, saga_ids, bodies) WITH ORDINALITY AS m (id, run, body, place)
    LEFT JOIN LATERAL (SELECT x.saga, x.version FROM "holdfast".saga_run x WHERE x.id = m.run OFFSET 0) AS r ON true),
  -- By their ids, so that two that store the same messages wait for each other in one direction only.
  marked AS (
    INSERT INTO "holdfast".inbox (consumer, message_id)
    SELECT post_saga_replies.consumer, a.id FROM arrived a WHERE a.saga IS NOT NULL ORDER BY a.id
    ON CONFLICT DO NOTHING RETURNING message_id),
  posted AS (
    INSERT INTO "holdfast".saga_mail (saga_id, saga, version, kind, body, bytes)
    SELECT a.run, a.saga, a.version, 'reply', a.body::json, octet_length(a.body)
    FROM arrived a JOIN marked k ON k.message_id = a.id ORDER BY a.place)
  SELECT array_agg(CASE WHEN k.message_id IS NOT NULL THEN 'stored' WHEN a.saga IS NOT NULL THEN 'known' ELSE 'stray' END ORDER BY a.place)
    INTO answers FROM arrived a LEFT JOIN marked k ON k.message_id = a.id;
  IF 'stored' = ANY (answers) THEN
    PERFORM "holdfast".wake_workers();
  END IF;
  RETURN answers;
END $$;

-- Whoever could store replies one by one goes on with this.
DO $$
DECLARE
  given record;
BEGIN
  REVOKE ALL ON FUNCTION "holdfast".post_saga_replies FROM PUBLIC;
  FOR given IN
    SELECT DISTINCT pg_get_userbyid(a.grantee) AS role
    FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) AS a
    WHERE p.pronamespace = '"holdfast"'::regnamespace AND p.proname = 'post_saga_reply' AND a.privilege_type = 'EXECUTE'
      AND a.grantee <> 0 AND a.grantee <> p.proowner
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION "holdfast".post_saga_replies TO %I', given.role);
  END LOOP;
END $$;
