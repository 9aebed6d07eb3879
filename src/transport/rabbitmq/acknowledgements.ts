/**
 * The acknowledgements of one channel. Deliveries are numbered, and one acknowledgement can be for all up to a number, so what is done with is
 * gathered for a moment and told in as few frames as possible. Never for one that is not done with.
 */

/** Sends an acknowledgement of one delivery, or of all that are not acknowledged up to it. */
export type SendAcknowledgement = (tag: number, upTo: boolean) => void;

export class ChannelAcknowledgements {
  readonly #send: SendAcknowledgement;
  /** Deliveries without an acknowledgement, in their order, and whether they are done with. */
  readonly #open = new Map<number, boolean>();
  #scheduled = false;

  constructor(send: SendAcknowledgement) {
    this.#send = send;
  }

  delivered(tag: number): void {
    this.#open.set(tag, false);
  }

  /** Acknowledged with the next flush, which comes by itself. */
  done(tag: number): void {
    if (!this.#open.has(tag)) return;
    this.#open.set(tag, true);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.flush());
  }

  /** It was answered in another way. */
  forget(tag: number): void {
    this.#open.delete(tag);
  }

  flush(): void {
    this.#scheduled = false;
    let last: number | undefined;
    let count = 0;
    for (const [tag, done] of this.#open) {
      if (!done) break;
      last = tag;
      count += 1;
    }
    if (last !== undefined) {
      for (const tag of this.#open.keys()) {
        this.#open.delete(tag);
        if (tag === last) break;
      }
      this.#send(last, count > 1);
    }
    for (const [tag, done] of this.#open) {
      if (!done) continue;
      this.#open.delete(tag);
      this.#send(tag, false);
    }
  }
}
