/**
 * What of a run's story has to be worked out: which calls were under way together, and what is still to be compensated. Pure.
 */
import { hasEffect, isCallKind, type CallKind } from '../../saga/definition/kind-names.ts';
import type { JournalEvent } from '../../saga/journal/events.ts';
import { isAttempted } from '../../saga/kinds/table.ts';
import type { TimelineAttempt, TimelineCall, TimelineCompensation, UnknownEvent } from './saga-timeline-model.ts';

/** What a call is while it has no outcome. Of a kind that is not known here nothing is claimed. */
export function openState(call: { readonly kind: CallKind }): 'running' | 'waiting' {
  return isCallKind(call.kind) && isAttempted(call) ? 'running' : 'waiting';
}

type AttemptEvent = Extract<JournalEvent, { t: 'attempt failed' | 'compensation failed' }>;

export function failedAttempt({ attempt, error, retryAt, uncounted }: AttemptEvent, at: number): TimelineAttempt {
  const { name, message, code } = error;
  const said = { name, message, ...(code === undefined ? {} : { code }) };
  return { attempt, at, error: said, retryAt: retryAt ?? null, uncounted: uncounted ?? null };
}

/** Of what this version has no case for: the types say that there is nothing. */
export function unknownEvent(event: never): UnknownEvent {
  const { t, call } = event as { readonly t?: unknown; readonly call?: unknown };
  return { t: 'unknown', name: String(t), call: typeof call === 'string' ? call : null };
}

/** `from`, `to`: places of intent and outcome in the journal; what comes in one commit has an order as well. */
export interface Placed {
  readonly kind: CallKind;
  readonly from: number;
  readonly to: number | null;
  group: number | null;
}

/**
 * Numbers those that overlap. A sleep or a wait that never ended lost a race: it counts as over at the first outcome after its start,
 * or everything behind it would seem to run beside it.
 */
export function numberGroups(calls: readonly Placed[]): void {
  const outcomes = calls.flatMap(({ to }) => (to === null ? [] : [to])).toSorted((a, b) => a - b);
  const endOf = ({ kind, from, to }: Placed): number => {
    if (to !== null) return to;
    if (hasEffect(kind)) return Infinity;
    return outcomes.find((place) => place > from) ?? Infinity;
  };
  let members: Placed[] = [];
  let end = -Infinity;
  let number = 0;
  const close = (): void => {
    if (members.length > 1) {
      for (const member of members) member.group = number;
      number += 1;
    }
    members = [];
    end = -Infinity;
  };
  for (const call of calls) {
    if (call.from > end) close();
    members.push(call);
    end = Math.max(end, endOf(call));
  }
  close();
}

/** The next one first. */
export function remainingOf(
  calls: readonly TimelineCall[],
  compensations: readonly TimelineCompensation[],
  undoable: (step: string) => boolean = () => true,
): readonly string[] {
  const begun = new Set(compensations.map(({ call }) => call));
  // It goes backwards, so what began behind the earliest one that is being compensated has been passed over: it declares no compensation.
  const earliest = calls.findIndex(({ call }) => begun.has(call));
  return calls
    .slice(0, earliest < 0 ? calls.length : earliest)
    .filter(({ call, kind, step, state, doubt, verified, lateReply }) => {
      if (begun.has(call) || !hasEffect(kind) || !undoable(step)) return false;
      if (state === 'done' || lateReply === 'done') return true;
      return (state === 'in doubt' || doubt) && verified !== 'not done';
    })
    .map(({ call }) => call)
    .toReversed();
}
