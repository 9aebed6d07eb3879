/**
 * What is legal in a saga and yet hardly meant. Workers say it once, when they start; `doctor` can show it. Nothing is refused here:
 * refusals stand in step-checks.ts and saga-checks.ts.
 */
import type { AnySaga } from './definition.ts';
import type { ChildStep, StepDefinition } from './steps.ts';

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
    if (isAttempted(step) && step.retry.attempts > 1 && step.retry.withinMs < step.timeoutMs)
      remarks.push(
        about(
          name,
          `may take ${step.timeoutMs} ms an attempt (timeout), but none begins later than ${step.retry.withinMs} ms after the first (retry.within): one that takes its time is the last`,
          'Raise retry.within to some attempts of that length, or say attempts: 1.',
        ),
      );
    if (step.kind === 'child' && !step.pivot && hasPivot(step.saga))
      remarks.push(
        about(
          name,
          `starts ${step.saga.name}, which has a pivot, but is none itself`,
          'Behind its pivot the child cannot be compensated with its parent: mark this step as a pivot as well, or take the pivot out of the child.',
        ),
      );
  }
  const effects = steps.filter(([, step]) => step.kind !== 'emit');
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

function isAttempted({ kind }: StepDefinition): boolean {
  return kind === 'step' || kind === 'transaction' || kind === 'command';
}

function canCompensate(step: StepDefinition): boolean {
  return step.kind === 'child' || step.compensate !== null;
}

/** A definition names a child by its shape; what it was given is the whole saga. */
function hasPivot(saga: ChildStep['saga']): boolean {
  const { steps = {} } = saga as Partial<AnySaga>;
  return Object.values(steps).some((step) => step.pivot);
}

/** The longest that a step can take before it gives up. */
function longestMs({ kind, retry, timeoutMs, deadlineMs }: StepDefinition): number {
  if (kind === 'emit' || kind === 'child') return timeoutMs === Infinity || kind === 'emit' ? 0 : timeoutMs;
  const attemptsMs = retry.attempts * timeoutMs + (retry.attempts - 1) * retry.capMs;
  return Math.min(attemptsMs, retry.withinMs + timeoutMs, deadlineMs);
}
