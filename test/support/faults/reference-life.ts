/**
 * What happens to one run of a reference saga while a worker lives: its messages are carried, time passes from one due thing to the next,
 * and those who have a word for it come by.
 */
import type pg from 'pg';
import type { Sagas } from '../../../src/saga/client/client.ts';
import type { HandPost } from './hand-post.ts';
import type { MortalWorker } from './mortal-worker.ts';
import type { MovedClock } from './moved-clock.ts';
import type { Scenario } from './reference-scenarios.ts';

export interface Life {
  readonly pool: pg.Pool;
  readonly clock: MovedClock;
  readonly post: HandPost;
  readonly sagas: Sagas;
  readonly scenario: Scenario;
  /** Of the run. */
  readonly id: string;
  readonly worker: MortalWorker;
}

/** A run that its worker has in memory may have to wait for it to look: then time goes on by so much at least, in milliseconds. */
const LEAST_STEP_MS = 1_000;
/** So many rounds in which nothing happens are the end of what goes on without the clock. */
const QUIET_ROUNDS = 2;
/** Only ends what hangs. */
const PATIENCE_MS = 120_000;

/** Which visits were paid. In the transaction of the visit, so that who comes after a death knows. */
export const VISITS = 'CREATE TABLE visit (run uuid, n integer, PRIMARY KEY (run, n))';

/** Resolves true when the run has ended and nothing goes on any more; false when the worker has died before. */
export async function live(life: Life): Promise<boolean> {
  const { clock, worker, scenario } = life;
  const giveUpAt = performance.now() + PATIENCE_MS;
  for (;;) {
    await settle(life);
    if (worker.dead) return false;
    const run = await look(life);
    if (run.over) return true;
    if (performance.now() > giveUpAt) throw new Error('The run does not come to its end.');
    const visit = scenario.visits[run.visits];
    const visitAtMs = visit === undefined ? Infinity : run.startedAt + visit.afterMs;
    if (visitAtMs <= clock.nowMs) {
      await pay(life, run.visits);
      continue;
    }
    const dueAtMs = run.held ? Math.max(worker.dueAtMs, clock.nowMs + LEAST_STEP_MS) : (run.due ?? Infinity);
    const toMs = Math.min(visitAtMs, dueAtMs);
    // Nothing is due, or has been for long: something is on its way that could not be seen.
    if (toMs <= clock.nowMs || toMs === Infinity) continue;
    const byMs = toMs - clock.nowMs;
    // The database's clock first: a worker's is never ahead of it.
    await clock.moveTo(toMs);
    await worker.advance(byMs);
  }
}

/** Until nothing goes on any more without the clock, or the worker is dead. */
async function settle({ post, worker }: Life): Promise<void> {
  for (let quiet = 0; quiet < QUIET_ROUNDS && !worker.dead;) {
    const before = worker.happened;
    const carried = await post.carry();
    await worker.goOn();
    quiet = carried === 0 && worker.happened === before ? quiet + 1 : 0;
  }
}

interface RunNow {
  readonly over: boolean;
  readonly held: boolean;
  /** How many visits were paid. */
  readonly visits: number;
  readonly startedAt: number;
  readonly due: number | null;
}

async function look({ pool, id }: Life): Promise<RunNow> {
  const { rows } = await pool.query<RunNow>(
    `SELECT status IN ('completed', 'compensated', 'stuck') AND worker IS NULL AS over, worker IS NOT NULL AS held,
       (SELECT count(*)::int FROM visit WHERE run = id) AS visits,
       round(extract(epoch FROM started_at) * 1000)::float8 AS "startedAt",
       ceil(extract(epoch FROM wake_at) * 1000)::float8 AS due
     FROM holdfast.saga_run WHERE id = $1`,
    [id],
  );
  const [run] = rows;
  if (run === undefined) throw new Error(`There is no run ${id}.`);
  return run;
}

async function pay({ pool, sagas, scenario, id }: Life, n: number): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    await scenario.visits[n]?.act(sagas, id, client);
    await client.query('INSERT INTO visit VALUES ($1, $2)', [id, n]);
    await client.query('COMMIT');
  } finally {
    client.release();
  }
}
