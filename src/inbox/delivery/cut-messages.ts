/**
 * Counts how often in a row the connection broke under the handler of a message, over its attempts, its deliveries and its redrives: a server
 * that a message crashes each time is away in between, and the message with the broker again.
 */
import type { AttemptOutcome } from '../handlers/decide.ts';

/** The most messages that are remembered. Beyond that the oldest is forgotten, and its count begins again. */
const MAX_CUT = 10_000;

/** How attempts end that say nothing of the handler, because it has not run to its end. */
const SAYS_NOTHING: ReadonlySet<AttemptOutcome['kind']> = new Set([
  'unavailable',
  'busy',
  'awaiting',
  'behind',
  'unhandled',
  'aborted',
]);

export class CutMessages {
  /** By message id; the oldest entry first. */
  readonly #cuts = new Map<string, number>();

  /** Takes in how an attempt ended, and says how many in a row were cut. Costs next to nothing while none was. */
  note(id: string, kind: AttemptOutcome['kind']): number {
    if (kind === 'cut') return this.#add(id);
    if (this.#cuts.size === 0) return 0;
    if (SAYS_NOTHING.has(kind)) return this.#cuts.get(id) ?? 0;
    this.#cuts.delete(id);
    return 0;
  }

  #add(id: string): number {
    const cuts = (this.#cuts.get(id) ?? 0) + 1;
    this.#cuts.delete(id);
    this.#cuts.set(id, cuts);
    if (this.#cuts.size > MAX_CUT) {
      const [oldest] = this.#cuts.keys();
      if (oldest !== undefined) this.#cuts.delete(oldest);
    }
    return cuts;
  }
}
