/**
 * What of a run's story has to be worked out: which calls were under way together, and what is still to be compensated. Pure.
 */
import { hasEffect, type CallKind } from '../../saga/definition/kind-names.ts';
import type { TimelineCall, TimelineCompensation } from './saga-timeline-model.ts';

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
