-- Acts on many: jobs that people start, and a fingerprint by which the errors of parked messages are grouped.
--
-- For the operator: makes one table and three functions, and adds a column and a trigger to "parked_message" and "parked_delivery", which it
-- locks for milliseconds. Moves no data: rows of before have no fingerprint, and get theirs when they are looked at. Processes of before go
-- on as they are; the trigger works for them as well.

-- What one kind of failure has in common: quoted values, addresses, paths, and words that have a digit (numbers, ids, times) are taken out;
-- a code in brackets behind the name of an error stays. At most 300 characters.
CREATE FUNCTION "holdfast".error_pattern(error text) RETURNS text
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  names text := '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)(?=,? <n>)';
  hidden text := chr(1) || chr(2) || chr(3) || chr(4) || chr(5) || chr(6) || chr(7) || chr(8) || chr(14) || chr(15);
  found text := error;
  code text;
BEGIN
  -- Each expression costs some microseconds, those that look around more: so what is not there is not looked for.
  IF found ~ '[[:space:]]{2}|[^[:graph:] ]' THEN
    found := regexp_replace(translate(found, hidden, ''), '[[:space:]]+', ' ', 'g');
  END IF;
  -- Values in quotes. A single quote within a word is an apostrophe.
  IF strpos(found, '"') > 0 THEN
    found := regexp_replace(found, '"(?:[^"\\]|\\.)*"', '<text>', 'g');
  END IF;
  IF strpos(found, '`') > 0 THEN
    found := regexp_replace(found, '`[^`]*`', '<text>', 'g');
  END IF;
  IF strpos(found, '''') > 0 THEN
    found := regexp_replace(found, '(?<![0-9A-Za-z])''.*?''(?![0-9A-Za-z])', '<text>', 'g');
  END IF;
  -- Addresses and paths.
  IF strpos(found, '://') > 0 THEN
    found := regexp_replace(found, '[A-Za-z][0-9A-Za-z+.-]*://[^][ <>,;()]+', '<address>', 'g');
  END IF;
  IF strpos(found, '@') > 0 THEN
    found := regexp_replace(found, '[0-9A-Za-z._%+-]+@[0-9A-Za-z-]+[.][0-9A-Za-z.-]+', '<address>', 'g');
  END IF;
  IF strpos(found, '/') > 0 THEN
    found := regexp_replace(found, '(?<![0-9A-Za-z<.~])[.~]{0,2}(?:/[^][ /:<>,;()]+)+/?', '<path>', 'g');
  END IF;
  IF strpos(found, ':\') > 0 THEN
    found := regexp_replace(found, '(?<![0-9A-Za-z])[A-Za-z]:\\[^][ :<>,;()]+', '<path>', 'g');
  END IF;
  IF found ~ '[0-9]' THEN
    -- A code stays: "error: [42P01] relation ...". Its digits are hidden from what follows.
    IF strpos(found, ': [') > 0 THEN
      FOR code IN SELECT DISTINCT m[1] FROM regexp_matches(found, ': \[([0-9A-Za-z_-]+)\] ', 'g') AS m LOOP
        found := replace(found, ': [' || code || '] ', ': [' || translate(code, '0123456789', hidden) || '] ');
      END LOOP;
    END IF;
    -- Words that have a digit. Names of days and months beside them are as good as numbers.
    found := regexp_replace(found, '[0-9A-Za-z_-]*[0-9][0-9A-Za-z_-]*', '<n>', 'g');
    IF found ~ '[A-Z][a-z][a-z],? <n>' THEN
      found := regexp_replace(found, names, '<n>', 'g');
      found := regexp_replace(found, names, '<n>', 'g');
    END IF;
    -- What is joined is one value, and a list of values one, however long it is.
    found := translate(regexp_replace(found, '[+-]?<n>(?:[ .,:/+-]+<n>)*', '<n>', 'g'), hidden, '0123456789');
  END IF;
  IF strpos(found, '<text>, <text>') > 0 THEN
    found := regexp_replace(found, '<text>(?:, <text>)+', '<text>', 'g');
  END IF;
  RETURN left(btrim(found), 300);
END $$;

-- Twelve hexadecimal digits, the same for each message of a kind.
CREATE FUNCTION "holdfast".error_fingerprint(reason text, error text) RETURNS text
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- In the encoding of the database: a conversion could fail, and nothing may keep a message from being parked.
  RETURN left(encode(sha256(convert_to(reason || chr(10) || coalesce("holdfast".error_pattern(error), ''), getdatabaseencoding())), 'hex'), 12);
END $$;

ALTER TABLE "holdfast".parked_message ADD COLUMN fingerprint text;
ALTER TABLE "holdfast".parked_delivery ADD COLUMN fingerprint text;

-- With the owner's rights: whatever is taken from whom, nothing of this may keep a message from being parked.
CREATE FUNCTION "holdfast".note_fingerprint() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND NEW.fingerprint IS NOT NULL AND (NEW.error, NEW.reason) IS NOT DISTINCT FROM (OLD.error, OLD.reason) THEN
    RETURN NEW;
  END IF;
  NEW.fingerprint := CASE WHEN NEW.error IS NOT NULL THEN "holdfast".error_fingerprint(NEW.reason, NEW.error) END;
  RETURN NEW;
END $$;
-- Those that wait behind another have no error, and pay nothing.
CREATE TRIGGER fingerprint_is_noted BEFORE INSERT OR UPDATE OF reason, error ON "holdfast".parked_message FOR EACH ROW
  WHEN (NEW.error IS NOT NULL OR NEW.fingerprint IS NOT NULL) EXECUTE FUNCTION "holdfast".note_fingerprint();
CREATE TRIGGER fingerprint_is_noted BEFORE INSERT OR UPDATE OF reason, error ON "holdfast".parked_delivery FOR EACH ROW
  WHEN (NEW.error IS NOT NULL OR NEW.fingerprint IS NOT NULL) EXECUTE FUNCTION "holdfast".note_fingerprint();

-- Acts on many, done a chunk at a time. Each chunk commits what it does together with its row of the audit, the progress and the position
-- here, under the lock of this row: so a chunk is done once, whoever works on the job. Spoken to by src/operations/jobs/job-store.ts.
CREATE TABLE "holdfast".operation_job (
  id           uuid        PRIMARY KEY,
  -- What is done to what: {"kind": "parked.retry", "select": {...}}.
  act          jsonb       NOT NULL CHECK (act ? 'kind'),
  actor        text        NOT NULL,
  reason       text        NOT NULL,
  state        text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'aborted')),
  -- How many there were when it was started; null: they were not counted to the end.
  planned      bigint,
  -- Acts per second; null: as fast as it goes.
  rate         double precision CHECK (rate > 0),
  -- The last one that was dealt with; null: none yet.
  position     jsonb,
  done         bigint      NOT NULL DEFAULT 0,
  -- Those that had moved on or were being worked on, by the code of the refusal; and those that failed, by the code of the error.
  passed_over  jsonb       NOT NULL DEFAULT '{}',
  failed       jsonb       NOT NULL DEFAULT '{}',
  -- The first few of both: [{"subject": "main/...", "code": "HF_...", "message": "..."}].
  examples     jsonb       NOT NULL DEFAULT '[]',
  -- Who works on it. The epoch fences whoever had it before.
  lease_owner  text,
  lease_epoch  bigint      NOT NULL DEFAULT 0,
  lease_until  timestamptz,
  -- What is parked, or gets stuck, later is not touched.
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at  timestamptz
);
CREATE INDEX operation_job_open ON "holdfast".operation_job (created_at) WHERE state = 'open';

-- The functions that tell of errors read no table: whoever looks at parked messages may ask them.
GRANT EXECUTE ON FUNCTION "holdfast".error_pattern(text), "holdfast".error_fingerprint(text, text) TO PUBLIC;
REVOKE ALL ON FUNCTION "holdfast".note_fingerprint() FROM PUBLIC;

-- Whoever may act, and so writes the audit, may start jobs.
DO $$
DECLARE
  given record;
BEGIN
  FOR given IN
    SELECT DISTINCT pg_get_userbyid(a.grantee) AS role FROM pg_class t CROSS JOIN LATERAL aclexplode(t.relacl) AS a
    WHERE t.oid = '"holdfast".audit'::regclass AND a.privilege_type = 'INSERT' AND a.grantee <> 0 AND a.grantee <> t.relowner
  LOOP
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON "holdfast".operation_job TO %I', given.role);
  END LOOP;
END $$;
