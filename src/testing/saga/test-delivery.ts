/**
 * The way of messages from the outbox of a test to its participants; topics can be held.
 */
import type { MemoryMessage } from './memory-rows.ts';

export class TestDelivery {
  readonly #receive: (message: MemoryMessage) => Promise<void>;
  readonly #note: () => void;
  readonly #arrived: MemoryMessage[] = [];
  readonly #held = new Map<string, MemoryMessage[]>();
  /** Mistakes that scripts have made. */
  readonly #faults: unknown[] = [];

  /** `note`: something has happened outside of the engine. */
  constructor(receive: (message: MemoryMessage) => Promise<void>, note: () => void) {
    this.#receive = receive;
    this.#note = note;
  }

  arrive(message: MemoryMessage): void {
    (this.#held.get(message.topic) ?? this.#arrived).push(message);
  }

  /** Hands over what has arrived. */
  pump(): void {
    for (const message of this.#arrived.splice(0))
      void this.#receive(message)
        .catch((error: unknown) => this.#faults.push(error))
        .finally(this.#note);
  }

  /** Keeps back the messages of a topic, until the function it returns is called. */
  hold(topic: string): () => void {
    const kept = this.#held.get(topic) ?? [];
    this.#held.set(topic, kept);
    return () => {
      this.#held.delete(topic);
      this.#arrived.push(...kept.splice(0));
    };
  }

  throwFault(): void {
    if (this.#faults.length > 0) throw this.#faults.shift();
  }
}
