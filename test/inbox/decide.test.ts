/**
 * The decisions of a consumer, as tables and as properties over everything that can happen.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HoldfastError, PermanentError } from '../../src/errors.ts';
import { decideRefused, refusedAgainMs } from '../../src/inbox/handlers/decide-refused.ts';
import { decideAfterRedrive } from '../../src/inbox/handlers/decide-redrive.ts';
import {
  CRASHES_TO_PARK,
  decideArrival,
  decideNext,
  decideOrdered,
  decideSuspect,
  decideUnhandled,
  DEFAULT_PARKED_RETRY,
  DEFAULT_RETRY,
  FREE_CONFLICTS,
  FREE_CUTS,
  HOLD,
  longestRetryMs,
  nextRedriveMs,
  predecessorWaived,
  type AttemptOutcome,
  type Policies,
  type AttemptProgress,
} from '../../src/inbox/handlers/decide.ts';

const policies: Policies = {
  retry: DEFAULT_RETRY,
  parkedRetry: DEFAULT_PARKED_RETRY,
  predecessorWaitMs: 60_000,
  handlerWaitMs: 60_000,
  random: () => 0.5,
};
const first: AttemptProgress = {
  attempt: 1,
  elapsedMs: 0,
  conflicts: 0,
  cuts: 0,
  holds: 0,
  heldMs: 0,
  awaitedMs: 0,
  stopping: false,
};
const error = new Error('no');
const stray = new HoldfastError('HF_REPLY_STRAY', 'x');

describe('after an attempt', () => {
  it.each<[string, AttemptOutcome, Partial<AttemptProgress>, object]>([
    ['handled', { kind: 'handled' }, {}, { do: 'acknowledge' }],
    ['a duplicate', { kind: 'duplicate' }, {}, { do: 'acknowledge' }],
    ['lost, as agreed', { kind: 'lost', error }, {}, { do: 'acknowledge' }],
    ['a first failure', { kind: 'failed', error }, {}, { do: 'again', delayMs: 50, because: 'failed' }],
    ['a second failure', { kind: 'failed', error }, { attempt: 2 }, { do: 'again', delayMs: 100 }],
    ['a failure while stopping', { kind: 'failed', error }, { stopping: true }, { do: 'later', delayMs: 50 }],
    [
      'the last failure',
      { kind: 'failed', error },
      { attempt: 5 },
      { do: 'park', reason: 'gave up after retries', retryInMs: 30_000 },
    ],
    ['no time left', { kind: 'failed', error }, { elapsedMs: 30_000 }, { do: 'park', reason: 'gave up after retries' }],
    [
      'a permanent failure',
      { kind: 'failed', error: new PermanentError('x') },
      {},
      { do: 'park', reason: 'permanent error', retryInMs: null },
    ],
    // Unknown to this process, perhaps not to the next release: not now, but not never.
    [
      'a version from the future',
      { kind: 'failed', error: new HoldfastError('HF_MESSAGE_VERSION', 'x') },
      {},
      { do: 'park', retryInMs: 30_000 },
    ],
    [
      'a conflict',
      { kind: 'conflict', error },
      { conflicts: FREE_CONFLICTS },
      { do: 'again', delayMs: 0, because: 'conflict' },
    ],
    [
      'too many conflicts',
      { kind: 'conflict', error },
      { conflicts: FREE_CONFLICTS + 1 },
      { do: 'again', because: 'failed' },
    ],
    ['a connection that broke', { kind: 'cut', error }, { cuts: 1 }, { do: 'again', delayMs: 100, because: 'cut' }],
    ['the last that is free', { kind: 'cut', error }, { cuts: FREE_CUTS }, { do: 'again', because: 'cut' }],
    ['one that broke too often', { kind: 'cut', error }, { cuts: FREE_CUTS + 1 }, { do: 'again', because: 'failed' }],
    ['one that broke while stopping', { kind: 'cut', error }, { cuts: 1, stopping: true }, { do: 'later' }],
    [
      'the last that broke',
      { kind: 'cut', error },
      { cuts: FREE_CUTS + 1, attempt: 5 },
      { do: 'park', reason: 'gave up after retries', error: { code: 'HF_HANDLER_CUT', cause: error } },
    ],
    ['no database', { kind: 'unavailable', error }, {}, { do: 'again', because: 'hold' }],
    ['no database for long', { kind: 'unavailable', error }, { heldMs: HOLD.withinMs }, { do: 'later' }],
    ['no database while stopping', { kind: 'unavailable', error }, { stopping: true }, { do: 'later' }],
    ['no predecessor', { kind: 'awaiting' }, { awaitedMs: 59_999 }, { do: 'later' }],
    [
      'no predecessor for long',
      { kind: 'awaiting' },
      { awaitedMs: 60_000 },
      { do: 'park', reason: 'predecessor missing' },
    ],
    ['a busy key', { kind: 'busy' }, {}, { do: 'later' }],
    ['taken away', { kind: 'aborted', error }, {}, { do: 'later', delayMs: 0 }],
    // A run of another database may be meant, whose process reads the same queue.
    ['a reply for no run here', { kind: 'failed', error: stray }, { awaitedMs: 59_999 }, { do: 'later' }],
    [
      'a reply for no run anywhere',
      { kind: 'failed', error: stray },
      { awaitedMs: 60_000 },
      { do: 'park', reason: 'no such run here', retryInMs: null },
    ],
  ])('%s', (_name, outcome, progress, next) => {
    expect(decideNext(outcome, { ...first, ...progress }, policies)).toMatchObject(next);
  });

  const outcomes = fc.oneof(
    fc.constantFrom<AttemptOutcome>(
      { kind: 'handled' },
      { kind: 'duplicate' },
      { kind: 'behind' },
      { kind: 'awaiting' },
      { kind: 'busy' },
      { kind: 'gone' },
    ),
    fc.record({
      kind: fc.constantFrom(
        'failed' as const,
        'lost' as const,
        'conflict' as const,
        'cut' as const,
        'unavailable' as const,
        'aborted' as const,
      ),
      error: fc.constantFrom<unknown>(error, new PermanentError('x'), 'text', undefined),
    }),
  );
  const progresses: fc.Arbitrary<AttemptProgress> = fc.record({
    attempt: fc.integer({ min: 1, max: 20 }),
    elapsedMs: fc.nat(100_000),
    conflicts: fc.nat(10),
    cuts: fc.nat(10),
    holds: fc.nat(50),
    heldMs: fc.nat(100_000),
    awaitedMs: fc.nat(200_000),
    stopping: fc.boolean(),
  });

  it('acknowledges only what is done with, and never waits long', () => {
    fc.assert(
      fc.property(
        outcomes,
        progresses,
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (outcome, progress, random) => {
          const next = decideNext(outcome, progress, { ...policies, random: () => random });
          if (next.do === 'acknowledge')
            expect(['handled', 'duplicate', 'behind', 'gone', 'lost']).toContain(outcome.kind);
          if (outcome.kind === 'unavailable') expect(['again', 'later']).toContain(next.do);
          if (next.do === 'again' || next.do === 'later') {
            expect(next.delayMs).toBeGreaterThanOrEqual(0);
            expect(next.delayMs).toBeLessThanOrEqual(5_000);
          }
          if (progress.stopping && next.do === 'again') expect(next.delayMs).toBe(0);
        },
      ),
    );
  });
});

describe('at arrival', () => {
  const usual = { decodeError: null, hasHandler: true, redeliveries: 0, policies };
  it.each([
    ['the usual', {}, { do: 'run', suspect: false }],
    ['redelivered', { redeliveries: 1 }, { do: 'run', suspect: true }],
    ['no handler', { hasHandler: false, redeliveries: 1 }, { do: 'hand on' }],
    [
      'unreadable',
      { decodeError: error, redeliveries: 3 },
      { do: 'park', reason: 'cannot be decoded', retryInMs: null },
    ],
    ['a newer wire', { decodeError: new HoldfastError('HF_ENVELOPE_VERSION', 'x') }, { do: 'park', retryInMs: 30_000 }],
  ])('%s', (_name, rest, arrival) => {
    expect(decideArrival({ ...usual, ...rest })).toMatchObject(arrival);
  });

  it('parks a suspect at the mark after its last death', () => {
    expect([1, CRASHES_TO_PARK, CRASHES_TO_PARK + 1].map(decideSuspect)).toEqual(['run', 'run', 'park']);
  });
});

describe('a message whose signature is not accepted', () => {
  const refused = (part: string) => new HoldfastError('HF_MESSAGE_UNVERIFIED', 'x', { details: { part } });
  const limits = { maxMessages: 10, maxBytes: 1_000, whenFull: 'leave' } as const;
  const usual = { error: refused('unsigned'), bytes: 100, parked: { messages: 9, bytes: 900 }, limits };
  const full = { messages: 10, bytes: 0 };
  const drop = { ...limits, whenFull: 'drop' } as const;
  it.each([
    ['the last there is room for', {}, 'park'],
    ['one too many', { parked: full }, 'leave'],
    ['one byte too many', { bytes: 101 }, 'leave'],
    ['the last there is room for, to be dropped', { limits: drop }, 'park'],
    ['one too many, to be dropped', { parked: full, limits: drop }, 'drop'],
    ['altered', { parked: full, limits: drop, error: refused('signature') }, 'drop'],
    ['a key that may come', { parked: full, limits: drop, error: refused('key') }, 'leave'],
    ['a true one that is old', { parked: full, limits: drop, error: refused('age') }, 'leave'],
  ])('%s', (_name, rest, next) => {
    expect(decideRefused({ ...usual, ...rest })).toBe(next);
  });

  it('comes again one after the other, and where order is kept soon', () => {
    let last = -Infinity;
    const again = Array.from({ length: 3 }, () => (last = refusedAgainMs(last, 1_000, false)));
    expect(again).toEqual([61_000, 61_010, 61_020]);
    expect(refusedAgainMs(9_999_999, 1_000, false)).toBe(901_000);
    expect(refusedAgainMs(last, 1_000, true)).toBe(1_500);
  });
});

describe('without a handler', () => {
  const usual = { ignored: false, waitedMs: 0, handlerWaitMs: 60_000, ordered: false };
  it.each([
    ['just sent', {}, { do: 'return', delayMs: 100 }],
    ['for a while', { waitedMs: 4_000 }, { do: 'return', delayMs: 2_000 }],
    ['for long', { waitedMs: 59_999 }, { do: 'return', delayMs: 5_000 }],
    ['for long, others waiting behind it', { waitedMs: 59_999, ordered: true }, { do: 'return', delayMs: 500 }],
    ['for too long', { waitedMs: 60_000 }, { do: 'park' }],
    ['ignored', { ignored: true, waitedMs: 60_000 }, { do: 'ignore' }],
  ])('%s', (_name, rest, next) => {
    expect(decideUnhandled({ ...usual, ...rest })).toEqual(next);
  });

  it('a redrive is given back, whatever was tried before', () => {
    expect(decideAfterRedrive({ kind: 'unhandled' }, { redrives: 8, cuts: 0 }, policies)).toEqual({ do: 'hand on' });
  });
});

describe('in order', () => {
  const free = { locked: true, handled: false, head: null, predecessorSeen: true, predecessorParked: false };
  it.each([
    ['a free way', {}, 'enter'],
    ['no predecessor needed', { predecessorSeen: null }, 'enter'],
    ['the predecessor is missing', { predecessorSeen: false }, 'awaiting'],
    ['the key is parked', { head: { awaits: null, allLater: true }, predecessorSeen: false }, 'behind'],
    ['the line waits for another', { head: { awaits: 'other', allLater: false } }, 'behind'],
    ['the line waits for one after this', { head: { awaits: 'other', allLater: true } }, 'enter'],
    ['the line waits for this one', { head: { awaits: 'me', allLater: false } }, 'enter'],
    [
      'the line waits for this one, whose predecessor stands in it',
      { head: { awaits: 'me', allLater: false }, predecessorParked: true },
      'behind',
    ],
    [
      'handled comes first',
      { handled: true, head: { awaits: null, allLater: true }, predecessorSeen: false },
      'duplicate',
    ],
    ['unlocked knows nothing', { locked: false, handled: true }, 'busy'],
  ])('%s', (_name, rest, found) => {
    expect(decideOrdered('me', { ...free, ...rest })).toBe(found);
  });

  const day = 86_400_000;
  const early = { atMs: 97 * day, sinceMs: 98 * day + 1 };
  it.each([
    ['recent', { atMs: 99 * day, sinceMs: 0 }, false],
    ['as old as the retention', { atMs: 86 * day, sinceMs: 0 }, true],
    ['within the margin of an hour', { atMs: 86 * day + 3_599_999, sinceMs: 0 }, true],
    ['as old as that, and was missed before', { atMs: 86 * day, sinceMs: 0, missed: true }, false],
    ['before the consumer, and was missed before', { atMs: 99 * day, sinceMs: 99 * day + 1, missed: true }, true],
    ['outside of it', { atMs: 86 * day + 3_600_001, sinceMs: 0 }, false],
    ['before the consumer', { atMs: 99 * day, sinceMs: 99 * day + 1 }, true],
    ['sent before the consumer, as the last of its key', { ...early, sentMs: 98 * day, followedMs: 99 * day }, true],
    [
      'sent before the consumer, with its successor',
      { ...early, sentMs: 98 * day - 2, followedMs: 98 * day - 1 },
      false,
    ],
    ['written before the consumer, but sent after', { ...early, sentMs: 99 * day, followedMs: 99 * day + 1 }, false],
  ])('a predecessor is waived when it is %s', (_name, rest, waived) => {
    expect(
      predecessorWaived({
        nowMs: 100 * day,
        retentionMs: 14 * day,
        sentMs: null,
        followedMs: null,
        missed: false,
        ...rest,
      }),
    ).toBe(waived);
  });
});

describe('after a redrive', () => {
  it.each<[string, AttemptOutcome, number, object]>([
    ['handled', { kind: 'handled' }, 1, { do: 'nothing' }],
    ['taken by another', { kind: 'gone' }, 1, { do: 'nothing' }],
    ['failed', { kind: 'failed', error }, 1, { do: 'keep', reason: 'gave up after retries', retryInMs: 60_000 }],
    ['failed for the last time', { kind: 'failed', error }, 8, { do: 'keep', retryInMs: null }],
    [
      'failed for good',
      { kind: 'failed', error: new PermanentError('x') },
      1,
      { do: 'keep', reason: 'permanent error', retryInMs: null },
    ],
    ['still no predecessor', { kind: 'awaiting' }, 1, { do: 'keep', reason: 'predecessor missing', retryInMs: 60_000 }],
    ['no database', { kind: 'unavailable', error }, 8, { do: 'postpone' }],
    ['a connection that broke', { kind: 'cut', error }, 8, { do: 'postpone' }],
    ['a busy key', { kind: 'busy' }, 8, { do: 'postpone' }],
  ])('%s', (_name, outcome, redrives, after) => {
    expect(decideAfterRedrive(outcome, { redrives, cuts: FREE_CUTS }, policies)).toMatchObject(after);
  });

  it('keeps what breaks its connection each time, and says so', () => {
    const counted = { redrives: 8, cuts: FREE_CUTS + 1 };
    const kept = { do: 'keep', retryInMs: null, error: { code: 'HF_HANDLER_CUT', cause: error } };
    expect(decideAfterRedrive({ kind: 'cut', error }, counted, policies)).toMatchObject(kept);
  });

  it('waits longer each time, up to the cap', () => {
    const waits = [0, 1, 2, 6, 7].map((redrives) => nextRedriveMs(redrives, null, { ...policies, random: () => 1 }));
    expect(waits).toEqual([60_000, 120_000, 240_000, 3_600_000, 3_600_000]);
  });
});

it('knows how long retries can take', () => {
  expect(longestRetryMs({ ...DEFAULT_RETRY, attempts: 1 })).toBe(0);
  expect(longestRetryMs(DEFAULT_RETRY)).toBe(100 + 200 + 400 + 800);
  expect(longestRetryMs({ ...DEFAULT_RETRY, attempts: 100 })).toBe(30_000);
  expect(longestRetryMs({ ...DEFAULT_RETRY, attempts: Infinity })).toBe(30_000);
});
