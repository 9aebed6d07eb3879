/**
 * Starting and stopping, for everything that can be started and stopped more than once. Calls take effect in the order in which they were
 * made: a start during a stop waits for it, a stop during a start ends it, and a call that asks for what was asked for last joins it.
 *
 * What a stop uses up (signals, connections, publishers) is a "run", and is made anew for each start; so is it after a start that failed.
 */
import { setMaxListeners } from 'node:events';
import type { StopOptions } from './service.ts';

export interface LifecycleParts<Run> {
  /** Makes what a stop uses up. Opens nothing; called at once, and again before each use after a stop. */
  make(): Run;
  start(run: Run): Promise<void>;
  /** Also called after a start that failed half-way, or when the run was only used by hand: must bear parts that were never begun. */
  stop(run: Run, options: { readonly signal: AbortSignal }): Promise<void>;
}

/** A Service whose calls can be handed on by themselves. */
export interface Lifecycle<Run> {
  readonly start: () => Promise<void>;
  readonly stop: (options?: StopOptions) => Promise<void>;
  /** The present one; after a stop the last one. */
  readonly run: Run;
  /** One that is not used up, for what may be done without a start; a stop ends it as well. */
  readonly use: () => Run;
}

interface Call {
  readonly asked: 'start' | 'stop';
  readonly hard: AbortController;
  over: boolean;
  done: Promise<void>;
}

export function createLifecycle<Run>(parts: LifecycleParts<Run>): Lifecycle<Run> {
  let run = parts.make();
  /** fresh: nothing was done with it, and nothing is to be ended. */
  let state: 'fresh' | 'used' | 'used up' = 'fresh';
  /** What was asked for last; null after a start that failed. */
  let last: Call | null = null;
  /** The tail of the queue of calls; never rejects. */
  let tail: Promise<void> = Promise.resolve();

  function use(): Run {
    if (state === 'used up') run = parts.make();
    state = 'used';
    return run;
  }

  async function end(signal: AbortSignal): Promise<void> {
    if (state !== 'used') return;
    try {
      await parts.stop(run, { signal });
    } finally {
      state = 'used up';
    }
  }

  async function begin(call: Call): Promise<void> {
    try {
      await parts.start(use());
    } catch (error) {
      // What had been begun already. The reason of the failure is the one to tell.
      await end(AbortSignal.abort(error)).catch(() => {});
      if (last === call) last = null;
      throw error;
    }
  }

  function ask(asked: Call['asked']): Call {
    const hard = new AbortController();
    // One signal stops many parts; that is no leak to warn of.
    setMaxListeners(0, hard.signal);
    const call: Call = { asked, hard, over: false, done: tail };
    call.done = tail.then(() => (asked === 'start' ? begin(call) : end(hard.signal)));
    const settled = (): void => void (call.over = true);
    tail = call.done.then(settled, settled);
    last = call;
    return call;
  }

  return {
    get run() {
      return run;
    },
    use,
    start() {
      return last?.asked === 'start' ? last.done : ask('start').done;
    },
    async stop({ signal }: StopOptions = {}) {
      const call = last?.asked === 'stop' && !last.over ? last : ask('stop');
      // Whoever stops it a second time, and hard, makes the first stop hard.
      const abort = (): void => call.hard.abort(signal?.reason);
      if (signal?.aborted === true) abort();
      if (signal !== undefined) {
        setMaxListeners(0, signal);
        signal.addEventListener('abort', abort, { once: true });
      }
      try {
        await call.done;
      } finally {
        signal?.removeEventListener('abort', abort);
      }
    },
  };
}
