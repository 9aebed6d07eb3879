/**
 * When a consumer of NATS is out of step with its stream, decided without a server. On one: out-of-step.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { type ConsumerStand, isAtOdds, isOutOfStep } from '../../../src/transport/nats/out-of-step.ts';

const stand = (rest: Partial<ConsumerStand>): ConsumerStand => ({
  created: 'today',
  delivered: 10,
  floor: 10,
  unacknowledged: 0,
  first: null,
  ...rest,
});

describe('a consumer is at odds with its stream', () => {
  it.each<[string, Partial<ConsumerStand>]>([
    ['when it waits for a message that is gone', { unacknowledged: 1, floor: 9 }],
    ['when it waits for one, and all that is there was never handed out', { unacknowledged: 1, floor: 9, first: 11 }],
    ['when it has passed over one', { first: 7 }],
    ['when the one that it has passed over is the last it knows of', { first: 10 }],
    ['when one is there that is acknowledged', { unacknowledged: 1, floor: 8, first: 7 }],
  ])('%s', (_, rest) => {
    expect(isAtOdds(stand(rest), false)).toBe(true);
    expect(isAtOdds(stand(rest), true)).toBe(true);
  });

  it('in order, when it has passed over one before that which is in hand', () => {
    const passedOver = stand({ unacknowledged: 1, floor: 3, first: 7 });
    expect(isAtOdds(passedOver, true)).toBe(true);
    expect(isAtOdds(passedOver, false)).toBe(false);
  });

  it.each<[string, Partial<ConsumerStand>]>([
    ['nothing is there', {}],
    ['all that is there was not handed out yet', { first: 11 }],
    ['the oldest is in hand', { unacknowledged: 1, floor: 9, first: 10 }],
  ])('never when %s', (_, rest) => {
    expect(isAtOdds(stand(rest), false)).toBe(false);
    expect(isAtOdds(stand(rest), true)).toBe(false);
  });
});

describe('a consumer is out of step', () => {
  const passedOver = stand({ first: 7 });
  const waits = stand({ unacknowledged: 1, floor: 9 });

  it('when it was at odds over the same message twice', () => {
    expect(isOutOfStep(passedOver, { ...passedOver, delivered: 20, floor: 20 }, true)).toBe(true);
    expect(isOutOfStep(waits, waits, true)).toBe(true);
  });

  it('not when it was seen for the first time, or is another one', () => {
    expect(isOutOfStep(undefined, passedOver, true)).toBe(false);
    expect(isOutOfStep({ ...passedOver, created: 'yesterday' }, passedOver, true)).toBe(false);
  });

  it('not when it was over another message, for that was only on its way', () => {
    expect(isOutOfStep(stand({ first: 6 }), passedOver, true)).toBe(false);
    expect(isOutOfStep(waits, { ...waits, delivered: 12, floor: 11 }, true)).toBe(false);
    expect(isOutOfStep(waits, { ...waits, floor: 10 }, true)).toBe(false);
    expect(isOutOfStep(stand({ first: 11 }), stand({ first: 11, delivered: 12 }), true)).toBe(false);
  });
});
