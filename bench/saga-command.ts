/**
 * saga.command.1 and .64: a saga of three commands to a participant over BullMQ on Redis, through outbox, relay and inbox, there and back.
 * Against the loop that people write by hand, which puts commands and replies into the same queues itself, and so loses some in a crash.
 */
import { fight, type Duel } from './support/duel.ts';
import type { Benchmark } from './support/figure.ts';

const [ALONE, MANY] = ['saga.command.1', 'saga.command.64'] as const;
const RIVALS = { ours: 'command', byHand: 'command-by-hand' } as const;

const DUELS: readonly Duel[] = [
  { ...RIVALS, bench: ALONE, inflight: 1, of: 'p50', target: { atMost: 1.5 } },
  { ...RIVALS, bench: MANY, inflight: 64, of: 'runs', target: { atLeast: 1 } },
  {
    ...RIVALS,
    ours: 'command-batch',
    bench: MANY,
    inflight: 64,
    of: 'runs',
    target: { atLeast: 1.5 },
    more: { batch: true },
  },
];

export const sagaCommand: Benchmark = {
  names: [ALONE, MANY],
  run: (context, wanted) =>
    fight(
      context,
      DUELS.filter(({ bench }) => wanted.has(bench)),
      { steps: 3, redis: true },
    ),
};
