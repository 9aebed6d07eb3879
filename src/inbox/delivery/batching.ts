/**
 * The part of a consumer that has messages share transactions: puts together who collects deliveries, and who handles what was collected.
 */
import type { Verdict } from '../../transport/port.ts';
import type { RunBatch } from '../handlers/batch-work.ts';
import type { ResolvedHandler } from '../handlers/handler.ts';
import { AttemptLoop } from './attempt-loop.ts';
import type { BatchSettings } from './batch-choice.ts';
import { BatchCollector } from './batch-collector.ts';
import { BatchRunner, type BatchedDelivery } from './batch-run.ts';
import type { ConsumerContext } from './consumer-context.ts';
import type { ReadableIncoming } from './incoming.ts';
import { TransactionSlots } from './transaction-slots.ts';
import type { DeliverySettlement } from './settlement.ts';
import type { WaitingMessages } from './waiting-messages.ts';

export interface BatchingParts<Tx> {
  readonly batch: BatchSettings;
  readonly runBatch: RunBatch<Tx>;
  readonly settlement: DeliverySettlement<Tx>;
  readonly waiting: WaitingMessages;
}

export class Batching<Tx> {
  /** For messages that go alone. Each of their attempts takes a slot. */
  readonly attempts: AttemptLoop<Tx>;
  readonly #settlement: DeliverySettlement<Tx>;
  readonly #ordered: boolean;
  readonly #collector: BatchCollector<BatchedDelivery<Tx>>;

  constructor(context: ConsumerContext<Tx>, { batch, runBatch, settlement, waiting }: BatchingParts<Tx>) {
    const slots = new TransactionSlots(context.concurrency);
    this.attempts = new AttemptLoop(context, settlement, waiting, slots);
    this.#settlement = settlement;
    this.#ordered = context.ordered;
    const runner = new BatchRunner<Tx>({
      context,
      runBatch,
      settlement,
      waiting,
      attempts: this.attempts,
      withinMs: batch.withinMs,
      putBack: (deliveries) => this.#collector.putBack(deliveries),
      settled: (delivery) => this.#collector.settled(delivery),
    });
    this.#collector = new BatchCollector({
      size: batch.size,
      slots,
      ordered: context.ordered,
      stopping: () => context.stopping().aborted,
      runBatch: (deliveries, release) => runner.run(deliveries, release),
      runAlone: (delivery) => runner.runAlone(delivery),
    });
  }

  run(incoming: ReadableIncoming, handler: ResolvedHandler<Tx>, signal: AbortSignal): Promise<Verdict> {
    // What leaves no mark with its effect cannot tell afterwards what became of a transaction that is in doubt.
    if (handler.kind !== 'exactly-once') return this.attempts.run(incoming, handler, signal);
    // Whether it is marked is known only once its statements are back, and a record must not be written without.
    if (handler.recording !== null && this.#ordered && incoming.key !== null)
      return this.attempts.run(incoming, handler, signal);
    return new Promise((resolve, reject) => {
      this.#collector.add({
        id: incoming.id,
        key: incoming.key,
        apart: handler.recording?.apartBy(incoming.envelope) ?? null,
        // What came as an object was read already, and is bounded in number alone: to make a text of it for this would cost too much.
        bytes: typeof incoming.wire === 'string' ? incoming.wire.length : 0,
        incoming,
        handler,
        signal,
        resolve,
        reject,
        giveBack: () => resolve(this.#settlement.later(incoming, 0)),
      });
    });
  }

  /** Gives back what was not begun. */
  stop(): void {
    this.#collector.stop();
  }
}
