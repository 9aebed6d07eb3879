/** How a run ends, and what its parent and its children are told then. */
import type { CallState } from '../journal/state.ts';
import type { DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';

/** A child is held until its parent lets it go. */
export function complete(run: Run, result: string | undefined, context: DecisionContext): void {
  if (run.parent !== null && !run.state.held) {
    run.recordEnd('held', result, context.now);
    const output = result === undefined ? {} : { output: JSON.parse(result) as unknown };
    run.post(run.parent.id, { kind: 'child', call: run.parent.call, outcome: 'done', ...output });
    return;
  }
  run.recordEnd('completed', result, context.now);
  releaseChildren(run);
}

/** The children of a run that has completed may end. */
export function releaseChildren(run: Run): void {
  for (const call of run.state.calls.values()) {
    if (call.child !== null && call.outcome === 'done') run.post(call.child, { kind: 'release' });
  }
}

/** The end of a run that is compensated; its parent is told. */
export function endCompensated(run: Run, context: DecisionContext): void {
  run.record({ t: 'undone' }, context.now);
  if (run.parent === null) return;
  run.post(run.parent.id, {
    kind: 'child',
    call: run.parent.call,
    outcome: 'compensated',
    ...(run.state.error === null ? {} : { error: run.state.error }),
  });
}

/** A child that is not compensated any more may end when it is done. */
export function releaseChild(run: Run, { child }: CallState): void {
  if (child !== null) run.post(child, { kind: 'release' });
}
