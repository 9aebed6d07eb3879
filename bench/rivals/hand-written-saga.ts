/**
 * The durable loop that people write by hand: a row for the run, a row for each step's result, each step committed before the next one
 * begins. Written with the care of somebody who wants it fast: each commit is one prepared statement, so one round trip, and the run
 * is as many commits as a loop needs that can be taken up again. It has no lease, no retries, no compensation and no way to be resumed
 * by another process; it is what these would be added to.
 */
import type { Pool, PoolClient } from 'pg';

export const HAND_WRITTEN_SAGA_SCHEMA = `
  CREATE TABLE public.saga_by_hand (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    state      text NOT NULL,
    input      jsonb NOT NULL,
    result     jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE TABLE public.saga_by_hand_step (
    saga_id uuid NOT NULL REFERENCES public.saga_by_hand (id),
    step    text NOT NULL,
    result  jsonb NOT NULL,
    done_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (saga_id, step)
  )`;

const START = {
  name: 'saga-start',
  text: `INSERT INTO public.saga_by_hand (id, name, state, input) VALUES ($1, $2, 'started', $3)`,
};
/** Result and state in one commit: after a crash the state says which steps have their results. */
const STEP = {
  name: 'saga-step',
  text: `
    WITH done AS (INSERT INTO public.saga_by_hand_step (saga_id, step, result) VALUES ($1, $2, $3))
    UPDATE public.saga_by_hand SET state = $2, updated_at = now() WHERE id = $1`,
};
const COMPLETE = {
  name: 'saga-complete',
  text: `UPDATE public.saga_by_hand SET state = 'completed', result = $2, updated_at = now() WHERE id = $1`,
};

/** Does a step, unless it was done, and remembers its result. */
export type StepByHand = <T extends object>(name: string, work: () => Promise<T>) => Promise<T>;

/** The same for work in the database: its writes, the result and the state in one commit. */
export type TransactionByHand = <T extends object>(
  name: string,
  work: (client: PoolClient) => Promise<T>,
) => Promise<T>;

export interface SagaByHand<Input extends object, Result extends object> {
  readonly name: string;
  readonly run: (step: StepByHand, input: Input, transaction: TransactionByHand) => Promise<Result>;
}

/**
 * One run, from its start until its result is committed. As many at a time as are called; they share the connections of `pool`, one
 * for the time of one statement or transaction.
 */
export async function runByHand<Input extends object, Result extends object>(
  pool: Pool,
  saga: SagaByHand<Input, Result>,
  id: string,
  input: Input,
): Promise<Result> {
  await pool.query({ ...START, values: [id, saga.name, JSON.stringify(input)] });
  const step: StepByHand = async (name, work) => {
    const result = await work();
    await pool.query({ ...STEP, values: [id, name, JSON.stringify(result)] });
    return result;
  };
  const transaction: TransactionByHand = async (name, work) => {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query({ ...STEP, values: [id, name, JSON.stringify(result)] });
      await client.query('COMMIT');
      client.release();
      return result;
    } catch (error) {
      // With the connection the transaction is gone.
      client.release(true);
      throw error;
    }
  };
  const result = await saga.run(step, input, transaction);
  await pool.query({ ...COMPLETE, values: [id, JSON.stringify(result)] });
  return result;
}
