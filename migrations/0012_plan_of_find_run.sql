-- A run is found by its key in a table of any size.
--
-- For the operator: gives one function settings for its own plans. Locks no table and moves no data.

-- As the other functions that look into these tables: a plan that was made while the table was empty reads all of it, until the next ANALYZE.
ALTER FUNCTION "holdfast".find_run(text, text) SET enable_seqscan = off;
ALTER FUNCTION "holdfast".find_run(text, text) SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION "holdfast".find_run(text, text) SET jit = off;
