/**
 * The clock of a database, in the hand of a test: it stands still until it is moved, so a month passes in a moment and nothing is due
 * by the slowness of a machine. Leases, timers and due times go by it, since statements and functions of Holdfast ask for
 * clock_timestamp() without saying whose: a function of that name stands before the server's own in every search path.
 */
import type pg from 'pg';

export interface MovedClock {
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  moveTo(ms: number): Promise<void>;
  /** Another process has moved it, and is gone. */
  read(): Promise<void>;
}

/** To be called before the migrations, whose defaults keep the function that they have found, and before other connections are opened. */
export async function installClock(pool: pg.Pool): Promise<void> {
  await pool.query(`
    CREATE SCHEMA moved;
    CREATE TABLE moved.clock (at timestamptz NOT NULL);
    INSERT INTO moved.clock VALUES ('2026-01-01T00:00:00Z');
    CREATE FUNCTION moved.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT at FROM moved.clock';
    DO $$ BEGIN
      EXECUTE format('ALTER DATABASE %I SET search_path TO moved, pg_catalog, public', current_database());
    END $$`);
}

/** To be called after the migrations, whose functions have search paths of their own. */
export async function adoptClock(pool: pg.Pool): Promise<void> {
  await pool.query(`
    DO $$ DECLARE f record; BEGIN
      FOR f IN
        SELECT p.oid::regprocedure AS name, substring(setting FROM '^search_path=(.*)$') AS path
        FROM pg_proc p, unnest(p.proconfig) AS setting
        WHERE p.pronamespace = 'holdfast'::regnamespace AND setting LIKE 'search_path=%'
      LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path TO moved, %s', f.name, f.path);
      END LOOP;
    END $$`);
}

/** @param pool of a database with such a clock; one process at a time moves it */
export async function openClock(pool: pg.Pool): Promise<MovedClock> {
  let nowMs = 0;
  const clock: MovedClock = {
    get nowMs() {
      return nowMs;
    },
    async moveTo(ms) {
      await pool.query('UPDATE moved.clock SET at = to_timestamp($1::float8 / 1000)', [ms]);
      nowMs = ms;
    },
    async read() {
      const { rows } = await pool.query<{ ms: number }>(
        'SELECT round(extract(epoch FROM at) * 1000)::float8 AS ms FROM moved.clock',
      );
      nowMs = rows[0]?.ms ?? 0;
    },
  };
  await clock.read();
  return clock;
}
