/** What a transaction step puts into the journal, together with its effect. */
import { withText } from '../journal/event-text.ts';
import type { Run, TransactionOutcome } from '../run/run.ts';
import type { RunCommit } from '../store/store.ts';

/**
 * The commit of a transaction step, which stands beside the run's own: nothing is recorded before it is known to have happened.
 * The run must have nothing else to commit, but for a row that was left to it, and nothing in commit.
 */
export function transactionCommit(run: Run, { event, call, output, at }: TransactionOutcome): RunCommit {
  const own = withText({ t: event, call: call.id }, 'output', output);
  const events = run.isRowLeftToTransaction ? [...run.unwritten, own].join(',') : own;
  return {
    runId: run.id,
    start: null,
    journal: { n: run.n, at, events: `[${events}]` },
    update:
      event === 'done' && call.pivot && !run.stored.pivoted
        ? { status: run.status, reason: run.state.reason, pivoted: true, release: null, result: null, error: null }
        : null,
    runMessagesDone: [],
    runMessages: [],
    children: [],
    messages: [],
  };
}
