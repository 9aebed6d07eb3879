/**
 * The stage of a run in memory: whether a commit of it is under way, and whether anything may be told to it. A run is in one stage at a
 * time, and only the moves below are allowed; docs/states.md draws them.
 */
export type RunStage =
  /** Its journal is being folded and its code replayed; nothing else is told to it. */
  | 'loading'
  /** As loading, with a commit in flight that says that it is tried alone: it killed workers. */
  | 'trialing'
  /** It takes in what happens, and collects what goes into its next commit. */
  | 'active'
  /** As active, with a commit in flight. */
  | 'committing'
  /** A commit is in flight that gives it away. Nothing is told to it, because it would be forgotten here. */
  | 'releasing'
  /** A transaction step writes the next row of the journal, beside its own effect. Nothing is told before that is known. */
  | 'transacting'
  /** It has left memory because it cannot go on, with a commit or a transaction in flight: that is waited for. */
  | 'evicting'
  /** It has left memory. What is still under way of it is nobody's. */
  | 'evicted';

type Moves = Readonly<Record<RunStage, Readonly<Partial<Record<RunStage, true>>>>>;

export const STAGE_MOVES: Moves = {
  loading: { trialing: true, active: true, evicted: true },
  trialing: { loading: true, committing: true, evicting: true },
  active: { committing: true, releasing: true, transacting: true, evicted: true },
  committing: { active: true, evicting: true },
  releasing: { active: true, evicting: true, evicted: true },
  transacting: { active: true, evicting: true },
  evicting: { evicted: true },
  evicted: {},
};

/** Where a run goes on once its commit, or its transaction, is no longer in flight. */
export const AFTER_WRITE: Readonly<Record<RunStage, RunStage>> = {
  loading: 'loading',
  trialing: 'loading',
  active: 'active',
  committing: 'active',
  releasing: 'active',
  transacting: 'active',
  evicting: 'evicted',
  evicted: 'evicted',
};

/** Where a run goes that leaves memory because it cannot go on: what is in flight of it is waited for. */
export const ON_EVICTION: Readonly<Record<RunStage, RunStage>> = {
  loading: 'evicted',
  trialing: 'evicting',
  active: 'evicted',
  committing: 'evicting',
  releasing: 'evicting',
  transacting: 'evicting',
  evicting: 'evicting',
  evicted: 'evicted',
};

/** One look into a table, because it is done several times for each commit of each run. */
export function assertMove(from: RunStage, to: RunStage, runId: string): void {
  if (STAGE_MOVES[from][to] !== true) throw illegalMove(from, to, runId);
}

function illegalMove(from: RunStage, to: RunStage, runId: string): Error {
  return new Error(`Run ${runId} is ${from} and cannot become ${to}: this is a fault of Holdfast, please report it.`);
}
