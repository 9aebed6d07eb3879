/**
 * Mistakes in what keeps a process that stands still from holding up all others.
 */
import type { Mutant } from '../mutant.ts';

const tests = ['test/postgres/frozen.test.ts'];
const breaks = 'I17: a process stopped inside a transaction keeps others from its locks for as long as it is';

export const FROZEN: readonly Mutant[] = [
  {
    name: 'frozen/own-transactions',
    file: 'src/postgres/transaction.ts',
    from: `return timeoutMs === undefined ? begin : \`\${begin}; \${limitFrozen(timeoutMs)}\`;`,
    to: `return timeoutMs === 0 ? \`\${begin}; \${limitFrozen(timeoutMs)}\` : begin;`,
    breaks,
    tests,
  },
  {
    name: 'frozen/after-the-others-gave-up',
    file: 'src/postgres/transaction.ts',
    from: `Math.min(MOST_FROZEN_MS, Math.ceil(timeoutMs / 2))`,
    to: `Math.max(MOST_FROZEN_MS, Math.ceil(timeoutMs / 2))`,
    breaks,
    tests,
  },
  {
    name: 'frozen/handlers-of-runners',
    file: 'src/inbox/handlers/runner-unit-of-work.ts',
    from: `'\${frozenMs}', true)`,
    to: `'0', true)`,
    breaks,
    tests,
  },
  {
    name: 'frozen/own-transactions-of-runners',
    file: 'src/inbox/handlers/runner-unit-of-work.ts',
    from: `      await limitFrozenIn(execute);
`,
    to: ``,
    breaks,
    tests,
  },
  {
    name: 'frozen/start-gives-up',
    file: 'src/postgres/asking-again.ts',
    from: `isEndedForStandingStill(error)
`,
    to: `false
`,
    breaks: 'a service that stood still while it started ends',
    tests,
  },
  {
    name: 'frozen/doubt-of-a-start',
    file: 'src/postgres/sql-state.ts',
    from: `isHoldfastError(error, 'HF_COMMIT_IN_DOUBT') || sqlStateOf(error) === '25P03'`,
    to: `sqlStateOf(error) === '25P03'`,
    breaks: 'a service that stood still before a COMMIT of its start ends',
    tests: ['test/postgres/sql-state.test.ts'],
  },
];
