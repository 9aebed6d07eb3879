/**
 * saga.transaction.1 and .64: a saga of three transactional steps, each of which writes a row of the service in the same commit as its
 * result. Against the loop that people write by hand, which does the same.
 */
import { fight, type Duel } from './support/duel.ts';
import type { Benchmark } from './support/figure.ts';

const [ALONE, MANY] = ['saga.transaction.1', 'saga.transaction.64'] as const;
const RIVALS = { ours: 'transaction', byHand: 'transaction-by-hand' } as const;

const DUELS: readonly Duel[] = [
  { ...RIVALS, bench: ALONE, inflight: 1, of: 'p50', target: { atMost: 1 } },
  { ...RIVALS, bench: MANY, inflight: 64, of: 'runs', target: { atLeast: 1 } },
];

export const sagaTransaction: Benchmark = {
  names: [ALONE, MANY],
  run: (context, wanted) =>
    fight(
      context,
      DUELS.filter(({ bench }) => wanted.has(bench)),
      { steps: 3 },
    ),
};
