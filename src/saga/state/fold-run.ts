/** The fold of what is recorded of the run as a whole: its start, signals, its end, and what stopped it. */
import { signalId, textOf, type RunState } from '../journal/state.ts';
import { bufferSignal } from '../journal/signal-buffer.ts';
import { withRefused } from '../journal/refused.ts';
import { readTrace } from '../journal/run-trace.ts';
import type { EventOf, Folds } from './folds.ts';

type JournalEventsOfRun =
  | 'started'
  | 'signal'
  | 'recovered'
  | 'refused'
  | 'undoing'
  | 'stuck'
  | 'held'
  | 'completed'
  | 'undone';

export const RUN_FOLDS: Folds<JournalEventsOfRun> = {
  started(state, event, at) {
    state.startedAt = at;
    state.input = textOf(event.input);
    state.trace = readTrace(event.trace);
    state.deadlineAt = event.deadlineAt ?? null;
  },
  signal(state, { name, payload, id }) {
    bufferSignal(state, { name, payload: textOf(payload) });
    if (id !== undefined) (state.signalIds ??= new Set()).add(signalId(name, id));
  },
  recovered(state, event) {
    // What was under way is still to be accounted for when a trial begins.
    if (event.alone !== true) state.lost = event.lost;
  },
  refused(state, event) {
    if (event.what === 'deadline') state.deadlineRefused = true;
    state.refused = withRefused(state.refused, event);
  },
  undoing(state, event) {
    state.phase = 'compensating';
    state.held = false;
    state.reason = event.reason;
    state.error = event.error ?? null;
    state.stuck = null;
  },
  stuck(state, event) {
    state.stuck = { why: event.why, call: event.call ?? null, error: event.error, of: event.of ?? [] };
  },
  held(state, event) {
    state.held = true;
    state.result = textOf(event.result);
  },
  completed: applyCompleted,
  undone(state) {
    state.phase = 'compensated';
  },
};

function applyCompleted(state: RunState, event: EventOf<'completed'>): void {
  state.phase = 'completed';
  state.held = false;
  if (event.result !== undefined) state.result = textOf(event.result);
}
