/**
 * Where a runner stands with its shard.
 *
 *     starting --+--> standby     another relay holds the lease
 *        ^       +--> active      this one does
 *        |       +--> ended       there is no such shard any more
 *        |
 *        +---- whatever fails; `ended` stays until the lease can be asked for again
 */
import type { HeldShard } from './held-shard.ts';

export type RunnerPhase =
  | { readonly kind: 'starting' }
  /** `superseded`: a relay with other settings was started later, and this one stands by for good. */
  | { readonly kind: 'standby'; readonly superseded: boolean }
  | { readonly kind: 'active'; readonly shard: HeldShard }
  | { readonly kind: 'ended' };

type Kind = RunnerPhase['kind'];

const NEXT: Readonly<Record<Kind, readonly Kind[]>> = {
  starting: ['standby', 'active', 'ended', 'starting'],
  standby: ['standby', 'active', 'ended', 'starting'],
  // Before its shard is taken anew, its session has been closed.
  active: ['starting'],
  ended: ['standby', 'active', 'ended'],
};

/** The one way from one phase to the next. */
export function enterPhase(from: RunnerPhase, to: RunnerPhase): RunnerPhase {
  if (!NEXT[from.kind].includes(to.kind)) throw new Error(`A runner cannot become ${to.kind} when it is ${from.kind}.`);
  return to;
}
