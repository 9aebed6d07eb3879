-- Acts on many come back to what was in somebody's hands, and the audit is found by the job that wrote it.
--
-- For the operator: adds a column to "operation_job", which it locks for milliseconds, and makes an index on "audit", which people's acts wait
-- for: about a second for a million rows. Moves no data. Processes of before go on as they are: a job that they end is not come back to.

ALTER TABLE "holdfast".operation_job
  -- What was in somebody's hands when the job came to it, to be tried again before it ends: [{"subject": "main/...", "position": {...}}].
  -- It is counted in passed_over as long as it stands here, so that whoever ends the job has told of it.
  ADD COLUMN in_hand jsonb NOT NULL DEFAULT '[]';

-- Each row of a job, its start and its end, in the order of the audit.
CREATE INDEX audit_by_job ON "holdfast".audit
  ((CASE WHEN starts_with(action, 'job.') THEN subject ELSE coalesce(details ->> 'job', details ->> 'bulk') END), id)
  WHERE (CASE WHEN starts_with(action, 'job.') THEN subject ELSE coalesce(details ->> 'job', details ->> 'bulk') END) IS NOT NULL;
