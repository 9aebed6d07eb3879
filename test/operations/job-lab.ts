/** Parked messages by the hundred, and jobs on them. */
import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import type { JobAct } from '../../src/operations/jobs/job.ts';
import type { JobRunnerParts } from '../../src/operations/jobs/job-runner.ts';
import { startJob } from '../../src/operations/jobs/jobs.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import type { Lab } from './lab.ts';

export const by = { actor: 'anna', reason: 'the limit was raised', rate: null };
export const parts: JobRunnerParts = { clock: systemClock, random: () => 0, crashPoint: () => {}, leaseMs: 30_000 };
/** Nothing at all, where `{}` in a match would be anything. */
export const NONE: unknown = expect.toBeOneOf([{}]);
/** Waits for nothing. */
export const restless: JobRunnerParts = { ...parts, clock: { ...systemClock, sleep: () => Promise.resolve() } };
export const RETRY: JobAct = { kind: 'parked.retry', select: {} };
export const DISCARD: JobAct = { kind: 'parked.discard', select: {} };

export interface JobLab {
  /** As relays of two subscriptions would; dead letters. Each has a key of its own. */
  readonly parkMessages: (count: number, of?: { readonly topic?: string; readonly error?: string }) => Promise<void>;
  readonly parkDeliveries: (count: number, consumer?: string) => Promise<readonly string[]>;
  /** How many are due. */
  readonly due: () => Promise<number>;
  /** Resolves with the id of the job. */
  readonly start: (act: JobAct, more?: object) => Promise<string>;
}

export function jobLab(lab: Lab): JobLab {
  return {
    async parkMessages(count, { topic = 'note.taken', error = 'Error: no' } = {}) {
      await lab.database.query(
        `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, key, lane, state, reason, error)
         SELECT CASE WHEN n % 2 = 0 THEN 'main' ELSE 'other' END, (SELECT coalesce(max(seq), 0) FROM holdfast.parked_message) + n,
           gen_random_uuid(), $2, 'key ' || n, 0, 'failed', 'refused', $3
         FROM generate_series(1, $1::int) AS n`,
        [count, topic, error],
      );
    },
    async parkDeliveries(count, consumer = 'shipping') {
      const ids = Array.from({ length: count }, () => randomUUID());
      for (const [n, id] of ids.entries()) await lab.parkDelivery(consumer, id, `key ${n}`);
      return ids;
    },
    async due() {
      const { rows } = await lab.database.query<{ n: string }>(
        `SELECT count(*)::text AS n FROM (SELECT next_attempt_at FROM holdfast.parked_message
           UNION ALL SELECT next_attempt_at FROM holdfast.parked_delivery) AS p WHERE next_attempt_at <= clock_timestamp()`,
      );
      return Number(rows[0]?.n);
    },
    start: async (act, more = {}) => (await startJob(lab.database, act, { ...by, ...more })).id,
  };
}
