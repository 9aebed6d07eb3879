-- Guards of the inbox and of consumers.
--
-- For the operator: replaces functions and adds columns with constant defaults in the schema "holdfast"; locks the tables it
-- changes for milliseconds and moves no data.

SELECT 1;
