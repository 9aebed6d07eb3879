/**
 * The messages that a receiver has and that have no verdict yet. Each has a claim: the time until which the server keeps it for this receiver.
 */
import { LazyAbort } from '../lazy-abort.ts';
import { OpenDeliveries, type OpenDelivery } from '../open-deliveries.ts';
import type { AckPlace } from './ack.ts';

export interface NatsDelivery extends OpenDelivery {
  readonly place: AckPlace;
  /** The subject to answer to. */
  readonly reply: string;
  readonly wire: string;
  /** How often it was put off by a verdict before, as far as is known. */
  verdicts: number;
  /** Nothing more may be said about the message from here. */
  isLost: boolean;
  /** Monotonic milliseconds at which the server may give the message to somebody else. */
  claimedUntilMs: number;
  abandon: () => void;
}

/** All that are waiting or being handled. */
export class Deliveries extends OpenDeliveries<NatsDelivery> {
  /** Of each message the one that was handed out last, which is the one that the server means. */
  readonly #byMessage = new Map<string, NatsDelivery>();
  readonly #perConsumer = new Map<string, number>();

  ofConsumer(consumer: string): number {
    return this.#perConsumer.get(consumer) ?? 0;
  }

  add(place: AckPlace, { reply, wire, claimMs }: { reply: string; wire: string; claimMs: number }): NatsDelivery {
    const delivery: NatsDelivery = {
      place,
      reply,
      wire,
      controller: new LazyAbort(),
      verdicts: 0,
      isLost: false,
      claimedUntilMs: performance.now() + claimMs,
      abandon: () => {},
    };
    const id = messageOf(place);
    const before = this.#byMessage.get(id);
    if (before !== undefined) lose(before, 'the server handed the message out again');
    this.#byMessage.set(id, delivery);
    this.hold(delivery);
    this.#perConsumer.set(place.consumer, this.ofConsumer(place.consumer) + 1);
    return delivery;
  }

  remove(delivery: NatsDelivery): void {
    if (!this.letGo(delivery)) return;
    const { place } = delivery;
    this.#perConsumer.set(place.consumer, this.ofConsumer(place.consumer) - 1);
    const id = messageOf(place);
    if (this.#byMessage.get(id) === delivery) this.#byMessage.delete(id);
  }

  /** A server that cannot be reached does not say that a claim has run out. */
  loseExpired(): void {
    const nowMs = performance.now();
    for (const delivery of this)
      if (!delivery.isLost && delivery.claimedUntilMs < nowMs) lose(delivery, 'the claim on the message ran out');
  }
}

function messageOf({ consumer, sequence, timestamp }: AckPlace): string {
  return `${consumer} ${sequence} ${timestamp}`;
}

function lose(delivery: NatsDelivery, why: string): void {
  delivery.isLost = true;
  delivery.controller.abort(new Error(why));
}
