/**
 * saga.command.64: a saga of three commands to a participant over BullMQ on Redis, through outbox, relay and inbox, there and back. Against
 * the loop that people write by hand, which puts commands and replies into the same queues itself, and so loses some in a crash.
 */
import { contest, details } from './support/contest.ts';
import { figure, type Benchmark } from './support/figure.ts';

const NAME = 'saga.command.64';
const INFLIGHT = 64;
const STEPS = 3;

export const sagaCommand: Benchmark = {
  names: [NAME],

  async run(context) {
    const [ours, byHand] = await contest(
      context,
      [
        { contestant: 'command', inflight: INFLIGHT },
        { contestant: 'command-by-hand', inflight: INFLIGHT },
      ],
      { redis: true },
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
          target: { atLeast: 0.3 },
        },
        details(ours, STEPS),
      ),
    ];
  },
};
