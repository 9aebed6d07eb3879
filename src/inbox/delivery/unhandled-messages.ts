/**
 * Handles messages whose topic has no handler in this process: they go back to the queue, are parked after too long a wait, or are ignored
 * where the options say so.
 */
import type { Verdict } from '../../transport/port.ts';
import { decideUnhandled, PARK_REASONS } from '../handlers/decide.ts';
import { noHandler } from '../handlers/handler.ts';
import type { ConsumerContext } from './consumer-context.ts';
import type { Incoming, ReadableIncoming } from './incoming.ts';
import type { DeliverySettlement } from './settlement.ts';
import type { WaitingMessages } from './waiting-messages.ts';

/** Topics that are remembered, here and for the log. */
const MAX_TOPICS = 1_000;

export class UnhandledMessages<Tx> {
  readonly #context: ConsumerContext<Tx>;
  readonly #settlement: DeliverySettlement<Tx>;
  readonly #waiting: WaitingMessages;
  readonly #loggedTopics = new Set<string>();
  /**
   * Topics of which nobody took a message in time. Those that come after it are parked at once: in an ordered queue each would else hold
   * up others for as long again, and a process that has the handler takes them up from there just as well.
   */
  readonly #untakenTopics = new Set<string>();

  constructor(context: ConsumerContext<Tx>, settlement: DeliverySettlement<Tx>, waiting: WaitingMessages) {
    this.#context = context;
    this.#settlement = settlement;
    this.#waiting = waiting;
  }

  async settle(incoming: ReadableIncoming, signal: AbortSignal): Promise<Verdict> {
    const { id, topic } = incoming;
    const context = this.#context;
    const next = decideUnhandled({
      ignored: context.ignores(topic),
      waitedMs: this.#waiting.waitedMs(incoming, context.clock.monotonic()),
      handlerWaitMs: this.#untakenTopics.has(topic) ? 0 : context.handlerWaitMs,
      ordered: context.ordered,
    });
    if (next.do === 'return') {
      this.#logOnce(
        topic,
        'no handler for this topic here: its messages go back for processes that have one, then are parked',
      );
      return this.#settlement.later(incoming, next.delayMs);
    }
    this.#waiting.forget(id);
    if (next.do === 'park') {
      if (this.#untakenTopics.size < MAX_TOPICS) this.#untakenTopics.add(topic);
      const error = noHandler(context.name, topic);
      const reason = PARK_REASONS.noHandler;
      return this.#settlement.park({ incoming, reason, error, retryInMs: null, attempts: 0, marked: true }, signal);
    }
    this.#logOnce(topic, 'no handler for this topic: its messages are acknowledged unread, as `ignore` says');
    return this.#ignore(incoming, signal);
  }

  /** An ordered consumer also marks what it ignores, since successors may name it. */
  async #ignore(incoming: Incoming, signal: AbortSignal): Promise<Verdict> {
    const { ordered, work, inbox } = this.#context;
    if (ordered && incoming.key !== null) {
      const stored = await this.#settlement.untilStored(incoming, signal, async () => {
        await work.transaction((execute) => inbox.tryMark(execute, incoming.id));
        return 'marked';
      });
      if (typeof stored !== 'string') return stored;
    }
    return this.#settlement.acknowledge(incoming, 'ignored');
  }

  #logOnce(topic: string, what: string): void {
    if (this.#loggedTopics.has(topic) || this.#loggedTopics.size >= MAX_TOPICS) return;
    this.#loggedTopics.add(topic);
    this.#context.log.warn({ topic, code: 'HF_NO_HANDLER' }, what);
  }
}
