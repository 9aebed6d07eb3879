-- Tables that lose as much as they gain.
--
-- For the operator: sets storage parameters of autovacuum for the tables that retention and queues delete from, where you have set none
-- yourself. Takes SHARE UPDATE EXCLUSIVE on them for a moment, which neither reading nor writing waits for; it waits for a VACUUM that is
-- running. Moves no data.

-- Autovacuum takes up to ten times as much in one go as its default, so that it keeps up with what a busy log deletes, and does not wait
-- until a fifth of a table is dead. Heads of keys are updated in place, for which a page needs room.
DO $$
DECLARE
  wanted record;
BEGIN
  FOR wanted IN
    SELECT o.table_name AS name, o.name || '=' || o.value AS option
    FROM (VALUES
      ('outbox', 'autovacuum_vacuum_cost_limit', '2000'),
      ('outbox', 'autovacuum_vacuum_scale_factor', '0.1'),
      ('inbox', 'autovacuum_vacuum_cost_limit', '2000'),
      ('participant_call', 'autovacuum_vacuum_cost_limit', '2000'),
      ('key_head', 'fillfactor', '70'),
      ('saga_run', 'autovacuum_vacuum_cost_limit', '2000'),
      ('saga_run', 'autovacuum_vacuum_scale_factor', '0.05'),
      ('saga_journal', 'autovacuum_vacuum_cost_limit', '2000'),
      ('saga_journal', 'autovacuum_vacuum_scale_factor', '0.1'),
      ('saga_mail', 'autovacuum_vacuum_cost_limit', '2000'),
      ('saga_mail', 'autovacuum_vacuum_scale_factor', '0.02')
    ) AS o (table_name, name, value)
    WHERE NOT EXISTS (
      SELECT 1 FROM pg_class c CROSS JOIN LATERAL pg_options_to_table(c.reloptions) AS r
      WHERE c.oid = ('"holdfast".' || o.table_name)::regclass AND r.option_name = o.name)
    ORDER BY o.table_name, o.name
  LOOP
    EXECUTE format('ALTER TABLE %s SET (%s)', '"holdfast".' || wanted.name, wanted.option);
  END LOOP;
END $$;
