/** Histories as workers write them, for tests of how they are shown. */
import type { TimelineView } from '../../src/cli/output/timeline.ts';
import type { RunSummary } from '../../src/operations/sagas/sagas.ts';
import type { CallKind } from '../../src/saga/definition/kind-names.ts';
import type { JournalEvent, JournalRow, RecordedError, RunStatus } from '../../src/saga/journal/events.ts';

export const RUN_ID = '0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f';
export const T0 = Date.UTC(2026, 0, 2, 3, 4, 5);
const SECOND = 1_000;
const HOUR = 3_600_000;

export const called = (call: string, kind: CallKind = 'step', more: object = {}): JournalEvent => ({
  t: 'called',
  call,
  kind,
  step: call.replace(/^wait:/, '').replace(/[:#].*$/, ''),
  ...more,
});
export const done = (call: string, output?: unknown): JournalEvent => ({ t: 'done', call, output });
const error = (message: string, name = 'Error', code?: string): RecordedError => ({
  name,
  message,
  ...(code === undefined ? {} : { code }),
});
const soldOut = error('sold out', 'Rejection', 'HF_REJECTED');
const timeout = error('The attempt did not finish within 5 s.', 'HoldfastError', 'HF_STEP_TIMEOUT');

export const row = (n: number, ms: number, ...events: JournalEvent[]): JournalRow => ({ n, at: T0 + ms, events });
const started: JournalEvent = { t: 'started', input: { order: 'o-1' } };

export function view(
  status: RunStatus,
  rows: readonly JournalRow[],
  atMs: number,
  more: Partial<RunSummary> = {},
): TimelineView {
  const ended = status === 'completed' || status === 'compensated';
  const last = rows.at(-1)?.at ?? T0;
  return {
    now: T0 + atMs,
    rows,
    run: {
      id: RUN_ID,
      saga: 'place-order',
      version: 1,
      key: 'o-1',
      status,
      reason: null,
      pivoted: false,
      worker: null,
      wakeAt: null,
      deadlineAt: null,
      parent: null,
      lost: 0,
      error: null,
      startedAt: new Date(T0),
      updatedAt: new Date(last),
      finishedAt: ended ? new Date(last) : null,
      ageMs: atMs,
      quietMs: T0 + atMs - last,
      ...more,
    },
  };
}

export const completed = view(
  'completed',
  [
    row(0, 0, started, called('charge')),
    row(1, 120, done('charge'), called('reserve', 'command')),
    row(2, 540, done('reserve'), called('ship', 'transaction', { pivot: true })),
    row(3, 560, done('ship'), called('confirm', 'emit'), done('confirm'), {
      t: 'completed',
      result: { paymentId: 'p-1' },
    }),
  ],
  HOUR,
  { pivoted: true },
);

export const parallel = view(
  'running',
  [
    row(0, 0, started, called('flight'), called('hotel'), called('car', 'command', { until: T0 + 30 * SECOND })),
    row(1, 230, { t: 'attempt failed', call: 'hotel', attempt: 1, error: error('socket hang up'), retryAt: T0 + 430 }),
    row(2, 800, done('flight')),
    row(3, 1_900, done('hotel')),
  ],
  2_300,
  { worker: { id: RUN_ID, name: 'worker-1' }, deadlineAt: new Date(T0 + HOUR) },
);

export const compensated = view(
  'compensated',
  [
    row(0, 0, started, called('charge'), called('reserve', 'command'), called('notify')),
    row(1, 90, done('notify')),
    row(2, 180, done('charge')),
    row(3, 950, { t: 'failed', call: 'reserve', attempts: 1, error: soldOut, outcome: 'definite' }),
    row(4, 955, { t: 'undoing', reason: 'failed', error: soldOut }, { t: 'compensating', call: 'charge', round: 1 }),
    row(5, 1_300, {
      t: 'compensation failed',
      call: 'charge',
      attempt: 1,
      error: error('503 Service Unavailable'),
      retryAt: T0 + 1_800,
    }),
    row(6, 2_100, { t: 'compensated', call: 'charge' }, { t: 'undone' }),
  ],
  HOUR,
  { reason: 'failed' },
);

export const inDoubt = view(
  'compensating',
  [
    row(0, 0, started, called('reserve', 'command')),
    row(1, 310, done('reserve'), called('charge')),
    row(2, 5_320, { t: 'attempt failed', call: 'charge', attempt: 1, error: timeout, retryAt: T0 + 5_500 }),
    row(3, 10_530, { t: 'failed', call: 'charge', attempts: 2, error: timeout, outcome: 'unknown' }),
    row(4, 10_535, { t: 'undoing', reason: 'failed', error: timeout }, { t: 'compensating', call: 'charge', round: 1 }),
    row(5, 10_900, {
      t: 'compensation failed',
      call: 'charge',
      attempt: 1,
      error: error('connect ECONNREFUSED 10.0.0.7:443'),
      retryAt: T0 + 13_000,
    }),
  ],
  11_000,
  { reason: 'failed' },
);

export const waiting = view(
  'waiting',
  [
    row(0, 0, started, called('submit', 'transaction')),
    row(
      1,
      15,
      done('submit'),
      called('wait:approved#1', 'wait', { step: 'approved', until: T0 + 72 * HOUR }),
      called('sleep#1', 'sleep', { until: T0 + 24 * HOUR }),
    ),
    row(
      2,
      24 * HOUR + 40,
      done('sleep#1'),
      called('remind:1', 'emit'),
      done('remind:1'),
      called('sleep#2', 'sleep', { until: T0 + 48 * HOUR }),
    ),
  ],
  26 * HOUR,
  { wakeAt: new Date(T0 + 48 * HOUR), saga: 'approve-expense' },
);

const refundGone = error('no such payment', 'PermanentError', 'HF_PERMANENT');
export const stuck = view(
  'stuck',
  [
    row(0, 0, started, called('reserve', 'command')),
    row(1, 310, done('reserve'), called('charge')),
    row(2, 480, done('charge'), called('ship', 'command')),
    row(3, 900, { t: 'undoing', reason: 'cancelled', actor: 'anna@desk' }),
    row(4, 1_400, { t: 'failed', call: 'ship', attempts: 1, error: soldOut, outcome: 'definite' }),
    row(5, 1_405, { t: 'compensating', call: 'charge', round: 1 }),
    row(
      6,
      1_800,
      { t: 'compensation failed', call: 'charge', attempt: 20, error: refundGone },
      { t: 'stuck', why: 'compensation', call: 'charge', error: refundGone },
    ),
  ],
  HOUR,
  { reason: 'cancelled' },
);

export const skipped = view(
  'compensated',
  [
    ...stuck.rows,
    row(7, 300 * SECOND, { t: 'retried', actor: 'anna@desk', reason: 'payments are back' }),
    row(
      8,
      301 * SECOND,
      { t: 'compensation failed', call: 'charge', attempt: 1, error: refundGone },
      { t: 'stuck', why: 'compensation', call: 'charge', error: refundGone },
    ),
    row(
      9,
      400 * SECOND,
      { t: 'skipped', call: 'charge', actor: 'bert@desk', reason: 'refunded over the phone, voucher 7731' },
      { t: 'compensating', call: 'reserve', round: 1 },
    ),
    row(10, 401 * SECOND, { t: 'compensated', call: 'reserve' }, { t: 'undone' }),
  ],
  HOUR,
  { reason: 'cancelled' },
);

const changed = error('The code calls charge where the journal has reserve.', 'HoldfastError', 'HF_NON_DETERMINISM');
export const changedCode = view(
  'stuck',
  [
    row(0, 0, started, called('charge')),
    row(1, 90, { t: 'recovered', lost: 1 }),
    row(2, 100, { t: 'stuck', why: 'non-determinism', error: changed }),
  ],
  HOUR,
  { lost: 1 },
);
