-- Alerts: what is wrong, what was told about it, and what is still to be told.
--
-- For the operator: makes two small tables in the schema "holdfast", and gives them to the roles of relays, workers and consumers. Takes no
-- lock on other tables and moves no data.

-- Processes that watch take turns: who raises `round` when it is time looks for all of them. What is written about an area is refused
-- once another round has begun, so that a process that was stopped in the middle overwrites nothing with what it saw before.
CREATE TABLE "holdfast".alert_round (
  area    text        PRIMARY KEY CHECK (area IN ('relay', 'consumers', 'sagas')),
  round   bigint      NOT NULL DEFAULT 0,
  next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- When it was last looked at, and by whom.
  at      timestamptz,
  watcher text
) WITH (fillfactor = 50);

-- One row for everything of one kind that is wrong with one subject.
CREATE TABLE "holdfast".alert (
  kind       text        NOT NULL,
  subject    text        NOT NULL,
  area       text        NOT NULL,
  -- pending: not yet for long enough. firing: told. resolved: told, and kept for as long as it is to be quiet.
  state      text        NOT NULL CHECK (state IN ('pending', 'firing', 'resolved')),
  since      timestamptz NOT NULL,
  seen_at    timestamptz NOT NULL,
  count      bigint      NOT NULL,
  summary    text        NOT NULL,
  advice     text        NOT NULL,
  -- When it was last told that it fires, and how many there were then, or fewer if there were fewer since.
  told_at    timestamptz,
  told_count bigint      NOT NULL DEFAULT 0,
  -- What is to be told, until it is. A later one takes its place: only the last word counts.
  notice_id       uuid,
  notice          json,
  notice_at       timestamptz,
  notice_attempts integer NOT NULL DEFAULT 0,
  notice_due_at   timestamptz,
  -- Some process is telling it, and if it does not come to an end, another may after this.
  notice_claimed_until timestamptz,
  PRIMARY KEY (kind, subject),
  CHECK ((notice_id IS NULL) = (notice IS NULL))
);

-- Whoever does the work of a relay, a worker or a consumer may watch.
DO $$
DECLARE
  given record;
BEGIN
  FOR given IN
    SELECT DISTINCT pg_get_userbyid(a.grantee) AS role
    FROM pg_class t CROSS JOIN LATERAL aclexplode(t.relacl) AS a
    WHERE t.oid IN ('"holdfast".subscription'::regclass, '"holdfast".worker'::regclass, '"holdfast".parked_delivery'::regclass)
      AND a.privilege_type = 'INSERT' AND a.grantee <> 0 AND a.grantee <> t.relowner
  LOOP
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON "holdfast".alert_round TO %I', given.role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON "holdfast".alert TO %I', given.role);
  END LOOP;
END $$;
