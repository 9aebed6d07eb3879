/**
 * People who do not wait until the faults are over: an operator who acts on a run as soon as it is stuck, whatever is still on its way, and
 * clients who cancel a run that is stuck.
 */
import type { Choices, Odds } from '../machine/choices.ts';
import type { Scheduler } from '../machine/scheduler.ts';

export interface ImpatientOptions {
  readonly choices: Choices;
  readonly scheduler: Scheduler;
  /** Whoever looks after stuck runs looks at this one. */
  readonly lookAt: (runId: string) => void;
  readonly cancel: (runId: string) => void;
}

/** After so long the operator acts, in milliseconds. */
const ACTS_MS = [0, 300, 1_500];
const ACTS: Odds = [0.2, 0.2];
/** After so long a client cancels, in milliseconds: some soon after the operator has acted. */
const CANCELS_MS = [0, 1, 100, 303, 310, 1_510];
const CANCELS: Odds = [0.06, 0.06, 0.06, 0.06, 0.06];

export class Impatient {
  readonly #options: ImpatientOptions;

  constructor(options: ImpatientOptions) {
    this.#options = options;
  }

  /** It is recorded that the run is stuck. */
  seen(runId: string): void {
    const { choices, scheduler, lookAt, cancel } = this.#options;
    const actsMs = ACTS_MS[choices.choose('the operator acts at once', ACTS)] ?? 0;
    if (actsMs > 0) scheduler.after(actsMs, null, () => lookAt(runId));
    const cancelsMs = CANCELS_MS[choices.choose('a stuck run is cancelled', CANCELS)] ?? 0;
    if (cancelsMs > 0) scheduler.after(cancelsMs, null, () => cancel(runId));
  }
}
