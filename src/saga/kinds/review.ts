/**
 * What is legal in a saga and yet hardly meant. Workers say it once, when they start; `doctor` can show it. Nothing is refused here:
 * refusals stand in step-checks.ts and saga-checks.ts.
 */
import type { AnySaga } from '../definition/definition.ts';
import { canCompensate, type StartedSaga, type StepDefinition } from '../definition/steps.ts';
import { isAttempted, kindOf } from './table.ts';

/** A remark: what was seen, and what to do about it. */
export interface Remark {
  readonly saga: string;
  readonly version: number;
  readonly step: string | null;
  readonly what: string;
  readonly advice: string;
}

/** Remarks about a saga, in the order of its steps; none for most. */
export function reviewSaga(saga: AnySaga): readonly Remark[] {
  const steps = Object.entries(saga.steps);
  const about = (step: string | null, what: string, advice: string): Remark => ({
    saga: saga.name,
    version: saga.version,
    step,
    what,
    advice,
  });
  const remarks: Remark[] = [];
  const pivoted = steps.some(([, step]) => step.pivot);
  const { deadlineMs } = saga;
  for (const [name, step] of steps) {
    // Behind a pivot the deadline no longer counts, and which steps come behind it is not known. Those that can be compensated do not.
    if (deadlineMs !== null && (!pivoted || canCompensate(step)) && longestMs(step) > deadlineMs)
      remarks.push(
        about(
          name,
          `can take ${longestMs(step)} ms with all its attempts, longer than the deadline of ${deadlineMs} ms`,
          'Give it fewer attempts or a shorter timeout, or the saga a later deadline.',
        ),
      );
    if (isRepeated(step) && step.retry.attempts > 1 && step.retry.withinMs < step.timeoutMs)
      remarks.push(
        about(
          name,
          `may take ${step.timeoutMs} ms an attempt (timeout), but none begins later than ${step.retry.withinMs} ms after the first (retry.within): one that takes its time is the last`,
          'Raise retry.within to some attempts of that length, or say attempts: 1.',
        ),
      );
    if (step.saga !== null && !step.pivot && hasPivot(step.saga))
      remarks.push(
        about(
          name,
          `starts ${step.saga.name}, which has a pivot, but is none itself`,
          'Behind its pivot the child cannot be compensated with its parent: mark this step as a pivot as well, or take the pivot out of the child.',
        ),
      );
  }
  const effects = steps.filter(([, step]) => kindOf(step).endsBy !== 'commit');
  if (effects.length > 1 && !pivoted && !steps.some(([, step]) => canCompensate(step)))
    remarks.push(
      about(
        null,
        'has several steps, and none that can be compensated',
        'A run that fails half-way keeps what it did: give steps a compensate, or mark the one as pivot after which it only goes forward.',
      ),
    );
  return remarks;
}

/** Whether it is made, or sent, again when it fails. */
function isRepeated(step: StepDefinition): boolean {
  return isAttempted(step) || kindOf(step).isSentAgain === true;
}

/** A definition names a child by its shape; what it was given is the whole saga. */
function hasPivot(saga: StartedSaga): boolean {
  const { steps = {} } = saga as Partial<AnySaga>;
  return Object.values(steps).some((step) => step.pivot);
}

/** The longest that a step can take before it gives up. */
function longestMs(step: StepDefinition): number {
  return kindOf(step).longestMs?.(step) ?? 0;
}
