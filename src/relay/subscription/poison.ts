/**
 * Finding a message that kills the relay's process (a crash in a codec, memory exhausted by its size). Pure.
 *
 * The happy path pays nothing: suspicion arises only when the lease was taken over STALLS_BEFORE_PROBING times in a row without
 * progress. From then on the relay marks what it is about to publish, in a commit of its own, before it does. A mark found at a
 * takeover means that its messages were being published at the moment of death: the next attempt takes half as many, until one is
 * left. That one is parked after it was fatal CRASHES_BEFORE_PARKING times, since a single death may have had another cause.
 *
 * Who takes over cannot tell a dead relay from one that stands still: a machine that starves it, a laptop that was closed. One that lives
 * says so as soon as it finds its lease lost (its lease has lapsed), and its death is taken back. So only deaths have a message parked,
 * but for one thing: a message that holds its process up for longer than a lease, each time, is as bad as one that kills it, and is parked
 * after LOSSES_BEFORE_PARKING. Leases are longer by then (lease-clock.ts), so that what merely takes its time has gone out before.
 */

export const STALLS_BEFORE_PROBING = 3;
export const CRASHES_BEFORE_PARKING = 2;
/** Of one message published alone, deaths and lapses together. */
export const LOSSES_BEFORE_PARKING = 6;
/** Before the log is suspected, the parked messages are, which are taken up before anything else. */
export const STALLS_BEFORE_CAREFUL_REDRIVE = 2;

/** How leases ended since the last progress. */
export interface Losses {
  /** Takeovers from relays that were not heard of since. */
  readonly stalls: number;
  /** The epochs of those that ran out under relays that live. */
  readonly lapsed: readonly number[];
}

export interface ProbeMark {
  /** Being published. */
  readonly seqs: readonly number[];
  /** How often a process died on exactly this before, as far as is known. */
  readonly crashes: number;
  /** The leases under which exactly this was published and whose holders were not heard of since, with the present one. Older relays note none. */
  readonly epochs?: readonly number[];
  /** How many more leases have ended on exactly this, under relays that live. */
  readonly lapses?: number;
}

export interface ProbeState {
  /** How many messages to publish at a time. */
  readonly size: number;
  /** How many more messages must go well before all is normal again. */
  readonly left: number;
  readonly mark: ProbeMark | null;
}

export type ProbePlan =
  | { readonly kind: 'normal' }
  | { readonly kind: 'probe'; readonly probe: ProbeState }
  /** The culprit is found: park it, then go on with `probe`. `epochs`: of those whose death would clear it if they lived. */
  | {
      readonly kind: 'park';
      readonly seq: number;
      readonly because: 'killed' | 'held-up';
      readonly epochs: readonly number[];
      readonly losses: number;
      readonly probe: ProbeState;
    };

/** How much there is to suspect. Standing still is no death, but what does it again and again is looked for as well. */
export function suspicion({ stalls, lapsed }: Losses): number {
  return stalls + Math.floor(lapsed.length / 2);
}

/** What to do after a takeover. `batchSize` is the normal page size. */
export function planAfterTakeover(losses: Losses, probe: ProbeState | null, batchSize: number): ProbePlan {
  if (probe === null) {
    if (suspicion(losses) < STALLS_BEFORE_PROBING) return { kind: 'normal' };
    return { kind: 'probe', probe: { size: half(batchSize), left: batchSize, mark: null } };
  }
  if (probe.mark === null) return { kind: 'probe', probe };
  const { seqs } = probe.mark;
  const [only] = seqs;
  if (seqs.length > 1 || only === undefined)
    return { kind: 'probe', probe: { ...probe, size: half(seqs.length), mark: null } };
  const mark = afterLoss(probe.mark, losses.lapsed);
  const { crashes, epochs, lapses } = mark;
  const killed = crashes >= CRASHES_BEFORE_PARKING;
  if (!killed && crashes + lapses < LOSSES_BEFORE_PARKING) return { kind: 'probe', probe: { ...probe, size: 1, mark } };
  return {
    kind: 'park',
    seq: only,
    because: killed ? 'killed' : 'held-up',
    epochs,
    losses: crashes + lapses,
    probe: { ...probe, size: 1, mark: null },
  };
}

/** The mark as it counts once more, without the deaths of those that live. */
function afterLoss(
  { seqs, crashes, epochs = [], lapses = 0 }: ProbeMark,
  lapsed: readonly number[],
): Required<ProbeMark> {
  const silent = epochs.filter((epoch) => !lapsed.includes(epoch));
  const alive = epochs.length - silent.length;
  return { seqs, crashes: crashes + 1 - alive, epochs: silent, lapses: lapses + alive };
}

/** The mark to commit before publishing `seqs` under `epoch`. Deaths on the very same single message add up. */
export function markBefore(probe: ProbeState, seqs: readonly number[], epoch: number): ProbeState {
  const { mark } = probe;
  const same =
    mark !== null && mark.seqs.length === seqs.length && mark.seqs.every((seq, index) => seq === seqs[index]);
  if (!same) return { ...probe, mark: { seqs, crashes: 0, epochs: [epoch], lapses: 0 } };
  return { ...probe, mark: { ...mark, epochs: [...(mark.epochs ?? []).filter((each) => each !== epoch), epoch] } };
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
