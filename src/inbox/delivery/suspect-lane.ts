/**
 * Handles suspects: messages that came back because a process died. They run one at a time, and each attempt is marked before it begins, so
 * that the next death can be blamed on one message. After too many deaths the message is parked unread.
 */
import type { Verdict } from '../../transport/port.ts';
import { decideSuspect, PARK_REASONS } from '../handlers/decide.ts';
import { keepsMarks, type ResolvedHandler } from '../handlers/handler.ts';
import type { ConsumerContext } from './consumer-context.ts';
import type { ReadableIncoming } from './incoming.ts';
import type { DeliverySettlement } from './settlement.ts';

export class SuspectLane<Tx> {
  readonly #context: ConsumerContext<Tx>;
  readonly #settlement: DeliverySettlement<Tx>;
  /** Settles when the last suspect in the lane is through. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(context: ConsumerContext<Tx>, settlement: DeliverySettlement<Tx>) {
    this.#context = context;
    this.#settlement = settlement;
  }

  /** @param work handles the message, once it is its turn */
  run(
    incoming: ReadableIncoming,
    handler: ResolvedHandler<Tx>,
    signal: AbortSignal,
    work: () => Promise<Verdict>,
  ): Promise<Verdict> {
    const turn = this.#last.then(() => this.#runAlone(incoming, handler, signal, work));
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #runAlone(
    incoming: ReadableIncoming,
    handler: ResolvedHandler<Tx>,
    signal: AbortSignal,
    work: () => Promise<Verdict>,
  ): Promise<Verdict> {
    const settlement = this.#settlement;
    if (signal.aborted) return settlement.later(incoming, 0);
    const found = await this.#markAttempt(incoming, handler, signal);
    if (typeof found !== 'string') return found;
    if (found === 'duplicate') return settlement.acknowledge(incoming, 'duplicate');
    if (found === 'park') {
      const reason = PARK_REASONS.crashed;
      return settlement.park({ incoming, reason, error: null, retryInMs: null, attempts: 0, marked: true }, signal);
    }
    const verdict = await work();
    // This process lives, whatever came of the message.
    const { suspects, work: transactions } = this.#context;
    await settlement.untilStored(incoming, signal, async () => {
      await transactions.transaction((execute) => suspects.clear(execute, incoming.id));
      return 'cleared';
    });
    return verdict;
  }

  /** Counts the attempt that is about to be made, in a commit of its own. */
  async #markAttempt(
    incoming: ReadableIncoming,
    handler: ResolvedHandler<Tx>,
    signal: AbortSignal,
  ): Promise<'run' | 'park' | 'duplicate' | Verdict> {
    const { work, inbox, suspects, crash } = this.#context;
    crash('inbox.suspect:before');
    const found = await this.#settlement.untilStored(incoming, signal, () =>
      work.transaction(async (execute) => {
        if (keepsMarks(handler) && (await inbox.has(execute, incoming.id))) {
          await suspects.clear(execute, incoming.id);
          return 'duplicate';
        }
        return decideSuspect(await suspects.markAttempt(execute, incoming.id));
      }),
    );
    crash('inbox.suspect:after');
    return found;
  }
}
