/**
 * What consumers and participants under test have done with messages. Filled by what each of them tells of its deliveries; shown to tests.
 */
import { isHoldfastError } from '../../errors.ts';
import type { DeliveryWatch } from '../../inbox/delivery/consumer-context.ts';
import type { MessageOutcome } from '../../inbox/delivery/consumer-metrics.ts';
import type { Incoming } from '../../inbox/delivery/incoming.ts';
import { PARK_REASONS } from '../../inbox/handlers/decide.ts';

/** A message in the hands of a consumer. */
export interface ReceivedMessage {
  /** Name of the consumer or participant. */
  readonly consumer: string;
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  /** As it came, before its schema; null where it cannot be read. */
  readonly payload: unknown;
}

/** A failed attempt to handle a message. */
export interface FailedMessage extends ReceivedMessage {
  /** From 1 on; null of one that was parked before. */
  readonly attempt: number | null;
  readonly error: unknown;
}

/** A message that a consumer has parked, and not handled since. */
export interface ParkedMessage extends ReceivedMessage {
  readonly reason: string;
  readonly error: unknown;
}

/** What came of one delivery. */
export interface SettledDelivery {
  readonly consumer: string;
  /** `later`: it goes back to the queue for now. */
  readonly outcome: MessageOutcome;
}

export class DeliveriesLog {
  readonly handled: ReceivedMessage[] = [];
  readonly failed: FailedMessage[] = [];
  readonly settled: (SettledDelivery & { readonly id: string })[] = [];
  /** Mistakes of the test itself. */
  readonly faults: unknown[] = [];
  readonly #parked = new Map<string, ParkedMessage>();
  readonly #note: () => void;

  /** @param note told whenever anything has happened */
  constructor(note: () => void) {
    this.#note = note;
  }

  get parked(): readonly ParkedMessage[] {
    return [...this.#parked.values()];
  }

  /** For the consumer of this name. */
  watch(consumer: string): DeliveryWatch {
    const place = ({ id }: Incoming): string => `${consumer} ${id}`;
    const received = ({ id, topic, key, envelope }: Incoming): ReceivedMessage => ({
      consumer,
      id,
      topic,
      key,
      payload: envelope?.data ?? null,
    });
    const failed = (incoming: Incoming, attempt: number | null, error: unknown): void => {
      // No number of attempts makes a database of it.
      if (isHoldfastError(error, 'HF_TX_UNSUPPORTED')) this.faults.push(error);
      this.failed.push({ ...received(incoming), attempt, error });
    };
    return {
      failed: (incoming, attempt, error) => {
        failed(incoming, attempt, error);
        this.#note();
      },
      settled: (incoming, outcome, why) => {
        this.settled.push({ consumer, id: incoming.id, outcome });
        if (outcome === 'handled') this.handled.push(received(incoming));
        if (outcome === 'parked') {
          const { reason, error } = why ?? { reason: PARK_REASONS.behind, error: null };
          this.#parked.set(place(incoming), { ...received(incoming), reason, error });
        }
        this.#note();
      },
      redriven: (incoming, outcome) => {
        if (outcome.kind === 'handled') this.handled.push(received(incoming));
        if ('error' in outcome) failed(incoming, null, outcome.error);
        const parked = this.#parked.get(place(incoming));
        if (outcome.kind === 'failed' && parked !== undefined)
          this.#parked.set(place(incoming), { ...parked, error: outcome.error });
        if (['handled', 'duplicate', 'behind', 'gone', 'lost'].includes(outcome.kind))
          this.#parked.delete(place(incoming));
        this.#note();
      },
    };
  }
}
