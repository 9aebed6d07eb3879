/**
 * Tells the server what became of a message: done, later, still being handled, or given back. That a message was put off is written down first,
 * so that its next delivery is not taken for one after a death.
 */
import { systemClock } from '../../runtime/clock.ts';
import { timeLimit } from '../../runtime/time-limit.ts';
import { settledOrAborted } from '../shared.ts';
import { ACK, type AckPlace, IN_PROGRESS, nakOf } from './ack.ts';
import type { NatsDelivery } from './deliveries.ts';
import type { NatsLink } from './link.ts';
import type { DestinationNames } from './names.ts';
import type { Notes } from './notes.ts';

/** How long a note may take to be written or read; without it a message is put off all the same, and looks as if its consumer had died. */
const NOTE_WITHIN_MS = 2_000;
/** How often it is looked whether there is still something to be said, while there is no link. */
const LOOK_FOR_LINK_MS = 100;

/** And how long by a receiver that is to stop. */
const STOP_WITHIN_MS = 2_000;

/** A link, with what belongs to it. */
export interface ReceiverLink {
  readonly link: NatsLink;
  readonly notes: Notes;
}

export interface VerdictsParts {
  readonly names: DestinationNames;
  /** Null while there is none. */
  readonly link: () => ReceiverLink | null;
  /** A link is not waited for as long as a claim lasts any more. */
  readonly stopping: AbortSignal;
  /** Aborts when nothing can be said any more. */
  readonly over: AbortSignal;
}

export class Verdicts {
  readonly #parts: VerdictsParts;
  #linked = new AbortController();

  constructor(parts: VerdictsParts) {
    this.#parts = parts;
  }

  /** There is a link again: what waits is said before anything is asked for, so that the server does not hand it out anew. */
  linked(): void {
    this.#linked.abort();
    this.#linked = new AbortController();
  }

  #link(): ReceiverLink | null {
    return this.#parts.link();
  }

  /** How often it was put off before; 0 when that cannot be found out. */
  async readVerdicts(place: AckPlace): Promise<number> {
    const notes = this.#link()?.notes;
    if (notes === undefined) return 0;
    try {
      const note = await settledOrAborted(notes.read(this.#noteOf(place)), timeLimit(NOTE_WITHIN_MS));
      return typeof note?.value === 'number' ? note.value : 0;
    } catch {
      return 0;
    }
  }

  /** The server may forget it. Said at once where there is a link, so that the next can be asked for in the same breath. */
  done(delivery: NatsDelivery): Promise<void> | undefined {
    if (delivery.isLost) return undefined;
    if (!this.#tell(delivery, ACK)) return this.#say(delivery, ACK);
    if (delivery.verdicts > 0) this.#link()?.notes.forget(this.#noteOf(delivery.place));
    return undefined;
  }

  /** It is to be handed out again, not before `delayMs` have passed. */
  async later(delivery: NatsDelivery, delayMs: number): Promise<void> {
    while (await this.#waitForLink(delivery)) {
      const note = this.#link()?.notes.write(this.#noteOf(delivery.place), delivery.verdicts + 1);
      // oxlint-disable-next-line no-await-in-loop
      if (note !== undefined) await settledOrAborted(note, timeLimit(NOTE_WITHIN_MS)).catch(() => {});
      if (delivery.isLost || this.#tell(delivery, nakOf(delayMs))) return;
    }
  }

  /** It was handed out and came to no verdict: to be handed out again at once. */
  abandon(delivery: NatsDelivery): void {
    if (delivery.isLost) return;
    this.#tell(delivery, nakOf(0));
    delivery.isLost = true;
  }

  /** The claim begins anew, once the server has said so. */
  async renew(delivery: NatsDelivery, claimMs: number): Promise<void> {
    const open = this.#link();
    if (open === null || delivery.isLost) return;
    const sentMs = performance.now();
    try {
      await open.link.nc.request(delivery.reply, IN_PROGRESS, { timeout: claimMs });
      delivery.claimedUntilMs = Math.max(delivery.claimedUntilMs, sentMs + claimMs);
    } catch {
      // Without an answer it runs out.
    }
  }

  /** Over the present link, or the next, as long as the claim lasts. */
  async #say(delivery: NatsDelivery, words: string): Promise<void> {
    while ((await this.#waitForLink(delivery)) && !this.#tell(delivery, words));
  }

  /** False: nothing more is to be said about the message. */
  async #waitForLink(delivery: NatsDelivery): Promise<boolean> {
    const { over, stopping } = this.#parts;
    for (let looks = 0; !delivery.isLost && !over.aborted; looks += 1) {
      const link = this.#link()?.link;
      if (link !== undefined && !link.lost.aborted && !link.nc.isClosed()) return true;
      if (stopping.aborted && looks * LOOK_FOR_LINK_MS > STOP_WITHIN_MS) return false;
      // oxlint-disable-next-line no-await-in-loop
      await systemClock.sleep(LOOK_FOR_LINK_MS, AbortSignal.any([over, this.#linked.signal]));
    }
    return false;
  }

  /** False: there is no link to say it on. */
  #tell({ reply }: NatsDelivery, words: string): boolean {
    const link = this.#link()?.link;
    if (link === undefined || link.lost.aborted || link.nc.isClosed()) return false;
    link.nc.publish(reply, words);
    return true;
  }

  #noteOf({ consumer, sequence, timestamp }: AckPlace): string {
    return `later.${this.#parts.names.token}.${consumer}.${sequence}-${timestamp}`;
  }
}
