/**
 * Mistakes in the transaction of a message: how it is entered, run, committed, put off or parked; alone and in a batch.
 */
import type { Mutant } from '../mutant.ts';

const UNIT = 'src/inbox/handlers/postgres-unit-of-work.ts';
const CLIENT = 'src/inbox/handlers/client-transaction.ts';
const ATTEMPT = 'src/inbox/delivery/attempt.ts';
const ENTRY = 'src/inbox/delivery/entry.ts';
const PARKING = 'src/inbox/delivery/parking.ts';

export const INBOX_WORK: readonly Mutant[] = [
  {
    name: 'inbox/work/rolled-back-for-handled',
    file: UNIT,
    from: `      if (!committed) return { kind: 'failed', phase, error: abortedTransaction() };
`,
    to: '',
    breaks: 'I5: COMMIT answered with ROLLBACK is taken for handled: no effect, no mark, and the message is gone',
    tests: ['test/inbox/commit-answers.test.ts'],
  },
  {
    name: 'inbox/work/rollback-read-as-commit',
    file: CLIENT,
    from: `      return results.at(-1)?.command === 'COMMIT';`,
    to: '      return results.at(-1) !== undefined;',
    breaks: 'I5: COMMIT answered with ROLLBACK is taken for handled: no effect, no mark, and the message is gone',
    tests: ['test/inbox/commit-answers.test.ts'],
  },
  {
    name: 'inbox/work/ended-by-the-handler',
    file: UNIT,
    from: `      if (trouble !== null) return { kind: 'failed', phase, error: trouble };
`,
    to: `      void trouble;
`,
    breaks: 'I5: a handler that ends the transaction itself commits its effect without the record',
    tests: ['test/inbox/lent-transactions.test.ts'],
  },
  {
    name: 'inbox/work/lent-for-ever',
    file: UNIT,
    from: `        lent.takeBack();
`,
    to: `        void lent.tx;
`,
    breaks: 'I20: what a handler does late is written into the next message',
    tests: ['test/inbox/lent-client.test.ts'],
  },
  {
    name: 'inbox/attempt/conflict-is-a-failure',
    file: ATTEMPT,
    from: `  if (isConflict(error)) return { kind: 'conflict', error };
  return { kind: isServerFailure`,
    to: '  return { kind: isServerFailure',
    breaks: 'I16: serialization failures spend the attempts of messages',
    tests: ['test/inbox/exactly-once.test.ts'],
  },
  {
    name: 'inbox/entry/duplicate-enters',
    file: ENTRY,
    from: `enter: ({ results }) => ((results[0]?.count ?? 0) > 0 ? 'enter' : 'duplicate'),`,
    to: `enter: ({ results }) => (results.length > 0 ? 'enter' : 'duplicate'),`,
    breaks: 'I4: a duplicate has a second effect',
    tests: ['test/inbox/exactly-once.test.ts'],
  },
  {
    name: 'inbox/parking/handled-after-all',
    file: PARKING,
    from: `  if (marked && !(await context.inbox.tryMark(execute, incoming.id))) return { kind: 'duplicate' };
`,
    to: '',
    breaks: 'I4: a message whose COMMIT was in doubt is parked, and runs a second time',
    tests: ['test/inbox/exactly-once.test.ts'],
  },
  {
    name: 'inbox/settlement/unparked-acknowledged',
    file: 'src/inbox/delivery/settlement.ts',
    from: `      if (result.kind === 'unavailable') throw result.error;
`,
    to: '',
    breaks: 'I1: a message that could not be parked is acknowledged',
    tests: ['test/inbox/commit-answers.test.ts'],
  },
  {
    name: 'inbox/entry/redrive-without-the-lock',
    file: ENTRY,
    from: `      if (arrival !== null && results[0]?.rows[0]?.['locked'] !== 'true') return 'busy';
`,
    to: '',
    breaks: 'I3: a redrive runs while a message of its key is decided on',
    tests: ['test/inbox/ordered.test.ts'],
  },
  {
    name: 'inbox/entry/redriven-and-kept',
    file: ENTRY,
    from: `      await context.parked.remove(execute, incoming.id);
      return 'enter';`,
    to: `      return 'enter';`,
    breaks: 'I4: a parked message has its effect with each redrive',
    tests: ['test/inbox/parking.test.ts'],
  },
  {
    name: 'inbox/batch/failed-ones-marked',
    file: 'src/inbox/delivery/batch-run.ts',
    from: '    return unmarked.length === 0 ? statements : [...statements, this.#options.context.inbox.unmarkStatement(unmarked)];',
    to: '    return statements;',
    breaks: 'I1: a message that failed in a batch is taken for handled when it comes alone',
    tests: ['test/inbox/batch-failures.test.ts'],
  },
  {
    name: 'inbox/batch/doubt-is-handled',
    file: 'src/inbox/delivery/batch-run.ts',
    from: `    if (result.kind === 'failed') this.#failAll(members, result.error);
`,
    to: '',
    breaks: 'I5: a batch whose COMMIT was refused is acknowledged',
    tests: ['test/inbox/batch-failures.test.ts'],
  },
  {
    name: 'inbox/batch/failed-one-kept',
    file: 'src/inbox/handlers/postgres-batch.ts',
    from: `    if (!kept) await this.#rollBackTo();
`,
    to: `    if (!kept) this.#fresh = false;
`,
    breaks: 'I4: what a failed message of a batch has written is committed with the others',
    tests: ['test/inbox/batch-failures.test.ts'],
  },
  {
    name: 'inbox/attempt/duplicate-of-the-window-runs',
    file: ATTEMPT,
    from: `      return { kind: 'duplicate' };
    }
  } catch (error) {`,
    to: `    }
  } catch (error) {`,
    breaks: 'I4: a window handler has its effect for each duplicate',
    tests: ['test/inbox/kinds.test.ts'],
  },
  {
    name: 'inbox/attempt/marked-before-it-ran',
    file: ATTEMPT,
    from: `  if (outcome.kind !== 'handled') return outcome;
  context.crash('inbox.window:before');`,
    to: `  context.crash('inbox.window:before');`,
    breaks: 'I1: a message whose handler failed is marked as handled',
    tests: ['test/inbox/kinds.test.ts'],
  },
  {
    name: 'inbox/attempt/at-most-once-unmarked',
    file: ATTEMPT,
    from: `        end: found === 'enter' || found === 'behind' ? 'commit' : 'rollback',`,
    to: `        end: found === 'behind' ? 'commit' : 'rollback',`,
    breaks: 'what was to run at most once runs for each duplicate',
    tests: ['test/inbox/kinds.test.ts'],
  },
  {
    name: 'inbox/entry/redriven-unmarked',
    file: ENTRY,
    from: `      if (handler.kind === 'exactly-once') await context.inbox.mark(execute, incoming.id);
`,
    to: '',
    breaks: 'I4: the mark of a message that was parked for long is pruned at once',
    tests: ['test/inbox/retention.test.ts'],
  },
  {
    name: 'inbox/entry/key-unlocked',
    file: ENTRY,
    from: `      if (locked && (results[1]?.count ?? 0) > 0) return 'enter';`,
    to: `      if ((results[1]?.count ?? 0) > 0) return 'enter';`,
    breaks: 'I3: two messages of a key are handled at once',
    tests: ['test/inbox/entry-rules.test.ts'],
  },
  {
    name: 'inbox/entry/taken-by-another',
    file: ENTRY,
    from: `      if (row === null) return 'gone';
      if (arrival !== null && arrival.predecessorId !== null && row.reason !== PARK_REASONS.released) {`,
    to: '      if (arrival !== null && arrival.predecessorId !== null && row?.reason !== PARK_REASONS.released) {',
    breaks: 'I4: two processes redrive one message, and both have its effect',
    tests: ['test/inbox/entry-rules.test.ts'],
  },
  {
    name: 'inbox/batch/rolled-back-for-committed',
    file: 'src/inbox/handlers/postgres-batch.ts',
    from: `    if (!committed) return { kind: 'failed', phase: 'body', error: abortedTransaction() };
`,
    to: '',
    breaks: 'I5: a batch that COMMIT has rolled back is acknowledged',
    tests: ['test/inbox/commit-answers.test.ts'],
  },
];
