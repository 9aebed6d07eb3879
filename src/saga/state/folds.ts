/** How the events of a journal are folded into the state of a run: by their type. Calls that are not known are ignored. */
import type { CompensationState } from '../journal/compensation-state.ts';
import type { JournalEvent } from '../journal/events.ts';
import type { CallState, RunState } from '../journal/state.ts';

export type EventOf<T extends JournalEvent['t']> = Extract<JournalEvent, { readonly t: T }>;

/** `at`: the time of the event's row, in milliseconds. */
export type Folds<T extends JournalEvent['t'] = JournalEvent['t']> = {
  readonly [Type in T]: (state: RunState, event: EventOf<Type>, at: number) => void;
};

export function withCall(state: RunState, id: string, change: (call: CallState) => void): void {
  const call = state.calls.get(id);
  if (call !== undefined) change(call);
}

export function withCompensation(state: RunState, id: string, change: (compensation: CompensationState) => void): void {
  withCall(state, id, (call) => {
    if (call.compensation !== null) change(call.compensation);
  });
}

/** It happened after all. Where a fallback stood in, the run counts on that and not on this. */
export function cameToLight(call: CallState, output: string | undefined): void {
  call.givenUp ||= call.degraded;
  call.degraded = false;
  call.outcome = 'done';
  call.doubt = false;
  call.output = output;
  call.outputVersion = null;
}
