/** Signals that came before the code waits for them, or while it does: each is for one wait, in the order of both. */
import type { BufferedSignal } from '../journal/signal-buffer.ts';
import type { CallState, RunState } from '../journal/state.ts';
import { kindOf } from '../kinds/table.ts';
import type { DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { endDone } from './outcomes.ts';

function waitsFor(call: CallState, name: string): boolean {
  return call.step === name && kindOf(call).endsBy === 'signal';
}

/** A signal of that name, if there is one for it, is promised to the oldest wait without one; told by an event of its own. */
export function assignSignal(run: Run, name: string): void {
  let left = run.state.signals.reduce((count, each) => count + (each.name === name ? 1 : 0), 0);
  if (left === 0) return;
  for (const each of run.runEvents) if (each.kind === 'signalled' && each.call.step === name) left -= 1;
  if (left <= 0) return;
  for (const call of run.state.open) {
    if (!waitsFor(call, name)) continue;
    if (run.runEvents.some((each) => each.kind === 'signalled' && each.call === call)) continue;
    // Before timers that were due after it came, and run messages that came after it.
    const behind = run.runEvents.findIndex(({ kind }) => kind !== 'signalled');
    run.runEvents.splice(behind < 0 ? run.runEvents.length : behind, 0, { kind: 'signalled', call });
    return;
  }
}

/** The oldest signal is taken now: the time of another wait may have been up since it was promised. */
export function takeAssigned(run: Run, call: CallState, context: DecisionContext): boolean {
  const signal = run.state.signals.find(({ name }) => name === call.step);
  if (call.outcome === 'open' && signal !== undefined) return endDone(run, call, signal.payload, context);
  assignSignal(run, call.step);
  return false;
}

/** The signal that an open wait will be given, if there is one. Of what is no wait there is none. */
export function signalFor(state: RunState, wait: CallState): BufferedSignal | undefined {
  if (state.signals.length === 0 || !waitsFor(wait, wait.step)) return undefined;
  const ahead = state.open.filter((call) => waitsFor(call, wait.step)).indexOf(wait);
  return state.signals.filter(({ name }) => name === wait.step)[ahead];
}
