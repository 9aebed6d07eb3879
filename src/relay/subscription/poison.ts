/**
 * Finding a message that kills the relay's process (a crash in a codec, memory exhausted by its size). Pure.
 *
 * The happy path pays nothing: suspicion arises only when the lease was taken over STALLS_BEFORE_PROBING times in a row without
 * progress. From then on the relay marks what it is about to publish, in a commit of its own, before it does. A mark found at a
 * takeover means that its messages were being published at the moment of death: the next attempt takes half as many, until one is
 * left. That one is parked after it was fatal CRASHES_BEFORE_PARKING times, since a single death may have had another cause.
 */

export const STALLS_BEFORE_PROBING = 3;
export const CRASHES_BEFORE_PARKING = 2;
/** Before the log is suspected, the parked messages are, which are taken up before anything else. */
export const STALLS_BEFORE_CAREFUL_REDRIVE = 2;

export interface ProbeState {
  /** How many messages to publish at a time. */
  readonly size: number;
  /** How many more messages must go well before all is normal again. */
  readonly left: number;
  /** The seqs marked as being published, and how often a process died on exactly that mark. */
  readonly mark: { readonly seqs: readonly number[]; readonly crashes: number } | null;
}

export type ProbePlan =
  | { readonly kind: 'normal' }
  | { readonly kind: 'probe'; readonly probe: ProbeState }
  /** The culprit is found: park it, then go on with `probe`. */
  | { readonly kind: 'park'; readonly seq: number; readonly probe: ProbeState };

/** What to do after a takeover. `stalls` counts takeovers without progress, `batchSize` is the normal page size. */
export function planAfterTakeover(stalls: number, probe: ProbeState | null, batchSize: number): ProbePlan {
  if (probe === null) {
    if (stalls < STALLS_BEFORE_PROBING) return { kind: 'normal' };
    return { kind: 'probe', probe: { size: half(batchSize), left: batchSize, mark: null } };
  }
  if (probe.mark === null) return { kind: 'probe', probe };
  const { seqs, crashes } = probe.mark;
  const [only] = seqs;
  if (seqs.length > 1 || only === undefined)
    return { kind: 'probe', probe: { ...probe, size: half(seqs.length), mark: null } };
  if (crashes + 1 < CRASHES_BEFORE_PARKING) {
    return { kind: 'probe', probe: { ...probe, size: 1, mark: { seqs, crashes: crashes + 1 } } };
  }
  return { kind: 'park', seq: only, probe: { ...probe, size: 1, mark: null } };
}

/** The mark to commit before publishing `seqs`. Deaths on the very same single message add up. */
export function markBefore(probe: ProbeState, seqs: readonly number[]): ProbeState {
  const same =
    probe.mark !== null &&
    probe.mark.seqs.length === seqs.length &&
    probe.mark.seqs.every((seq, index) => seq === seqs[index]);
  return { ...probe, mark: { seqs, crashes: same ? (probe.mark?.crashes ?? 0) : 0 } };
}

/**
 * After `count` messages went well; null once nothing is suspect any more. The size stays: the culprit may still be ahead. A page
 * without messages ends the suspicion only at the end of the log: elsewhere its rows were other topics' or other shards'.
 */
export function afterSuccess(probe: ProbeState, count: number, more: boolean): ProbeState | null {
  const left = probe.left - count;
  return left <= 0 || (count === 0 && !more) ? null : { ...probe, left, mark: null };
}

function half(count: number): number {
  return Math.max(1, Math.floor(count / 2));
}
