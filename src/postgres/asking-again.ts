/**
 * What is asked at a start is asked again where that helps: others start at the same time, and a process may stand still just then.
 */
import { isHoldfastError } from '../errors.ts';
import type { Logger } from '../runtime/log.ts';
import { isEndedForStandingStill } from './sql-state.ts';

const MOST_ASKS = 5;

/**
 * Does it again, five times at most, when it waited for a lock in vain (HF_LOCK_WAIT), and when the server had ended its transaction because
 * this process stood still in it. So `ask` must bear to be done twice, also where the first time was committed. Each is a new transaction: who
 * waits behind a lock of ours has their turn between.
 */
export async function askingAgain<T>(log: Logger, ask: () => Promise<T>): Promise<T> {
  for (let asks = 1; ; asks += 1) {
    try {
      // oxlint-disable-next-line no-await-in-loop
      return await ask();
    } catch (error) {
      const what = isHoldfastError(error, 'HF_LOCK_WAIT')
        ? 'the start waits for a lock'
        : isEndedForStandingStill(error)
          ? 'this process stood still in a transaction of its start, which the server ended: it begins anew'
          : null;
      if (what === null || asks === MOST_ASKS) throw error;
      log.warn({ err: error }, what);
    }
  }
}
