-- Whoever parks a message notes the fingerprint of its error as well: the database took a hundred times as long over it, in the very
-- statement that parks. The triggers of 0016 only fill in what processes of before leave out.
--
-- For the operator: makes two triggers anew and two more, on "parked_message" and "parked_delivery", which it locks against writing for
-- milliseconds. Moves no data. Processes of before go on as they are.

CREATE OR REPLACE TRIGGER fingerprint_is_noted BEFORE INSERT ON "holdfast".parked_message FOR EACH ROW
  WHEN (NEW.error IS NOT NULL AND NEW.fingerprint IS NULL) EXECUTE FUNCTION "holdfast".note_fingerprint();
CREATE OR REPLACE TRIGGER fingerprint_is_noted BEFORE INSERT ON "holdfast".parked_delivery FOR EACH ROW
  WHEN (NEW.error IS NOT NULL AND NEW.fingerprint IS NULL) EXECUTE FUNCTION "holdfast".note_fingerprint();

-- When the fingerprint stays and the error does not, nobody can tell whether it was said anew or left behind: so it is made anew.
CREATE TRIGGER fingerprint_follows BEFORE UPDATE OF reason, error ON "holdfast".parked_message FOR EACH ROW
  WHEN ((NEW.error IS NOT NULL AND NEW.fingerprint IS NULL)
    OR (NEW.fingerprint = OLD.fingerprint AND (NEW.error, NEW.reason) IS DISTINCT FROM (OLD.error, OLD.reason)))
  EXECUTE FUNCTION "holdfast".note_fingerprint();
CREATE TRIGGER fingerprint_follows BEFORE UPDATE OF reason, error ON "holdfast".parked_delivery FOR EACH ROW
  WHEN ((NEW.error IS NOT NULL AND NEW.fingerprint IS NULL)
    OR (NEW.fingerprint = OLD.fingerprint AND (NEW.error, NEW.reason) IS DISTINCT FROM (OLD.error, OLD.reason)))
  EXECUTE FUNCTION "holdfast".note_fingerprint();
