/**
 * saga.transaction.64: a saga of three transactional steps, each of which writes a row of the service in the same commit as its result. Against
 * the loop that people write by hand, which does the same.
 */
import { contest, details } from './support/contest.ts';
import { figure, type Benchmark } from './support/figure.ts';

const NAME = 'saga.transaction.64';
const INFLIGHT = 64;
const STEPS = 3;

export const sagaTransaction: Benchmark = {
  names: [NAME],

  async run(context) {
    const [ours, byHand] = await contest(
      context,
      [
        { contestant: 'transaction', inflight: INFLIGHT },
        { contestant: 'transaction-by-hand', inflight: INFLIGHT },
      ],
      { redis: false },
    );
    if (ours === undefined || byHand === undefined) throw new Error('a contestant is missing');
    return [
      figure(
        {
          bench: NAME,
          value: ours.perSecond,
          unit: 'runs/s',
          against: 'by-hand',
          againstValue: byHand.perSecond,
          target: { atLeast: 0.7 },
        },
        details(ours, STEPS),
      ),
    ];
  },
};
