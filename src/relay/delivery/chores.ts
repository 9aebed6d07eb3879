/**
 * What is done beside the live log while a shard is held: parked messages are published again, and replays are worked off. Now and then,
 * so that neither holds up the log.
 */
import { redrive } from './redrive.ts';
import { Replays } from './replay.ts';
import type { LeasedDelivery } from './delivery.ts';

/** How often parked messages and replays are looked for while the log is busy, in milliseconds. */
const EVERY_MS = 1_000;
/** ... and at least, however long it took, in milliseconds. */
const AT_LEAST_EVERY_MS = 60_000;
/** How often parked messages are looked for that were released unseen, in milliseconds: it looks at all keys. */
const ORPHANS_EVERY_MS = 60_000;
/** Messages per batch of them: they are read whole, whatever their size, and the live log waits meanwhile. */
const MOST_MESSAGES = 200;

/** Looking through very many parked keys takes its time; it must not take that of the live log. Pure, in milliseconds. */
export function choresPauseMs(tookMs: number): number {
  return Math.min(Math.max(EVERY_MS, 20 * tookMs), AT_LEAST_EVERY_MS);
}

export class Chores {
  readonly #leased: LeasedDelivery;
  readonly #replays: Replays;
  readonly #careful: boolean;
  #dueAtMs = 0;
  #orphansDueAtMs: number;

  /** `careful`: relays died before this one, perhaps of a parked message. The session has just released orphans. */
  constructor(leased: LeasedDelivery, schema: string, { careful }: { readonly careful: boolean }) {
    this.#leased = leased;
    this.#replays = new Replays(leased, schema);
    this.#careful = careful;
    this.#orphansDueAtMs = leased.clock.monotonic() + ORPHANS_EVERY_MS;
  }

  get isDue(): boolean {
    return this.#leased.clock.monotonic() >= this.#dueAtMs;
  }

  /** Resolves with whether there is more to do. */
  async run(): Promise<boolean> {
    const { session, pages, parking, clock } = this.#leased;
    const limit = Math.min(pages.messages, MOST_MESSAGES);
    const startedAtMs = clock.monotonic();
    if (startedAtMs >= this.#orphansDueAtMs) {
      await parking.releaseOrphans(session.writeClient);
      this.#orphansDueAtMs = startedAtMs + ORPHANS_EVERY_MS;
    }
    const redriven = await redrive(this.#leased, limit, { careful: this.#careful });
    const replaying = session.key.shard === 0 && (await this.#replays.page(limit));
    const busy = redriven > 0 || replaying;
    const nowMs = clock.monotonic();
    this.#dueAtMs = busy ? 0 : nowMs + choresPauseMs(nowMs - startedAtMs);
    if (redriven > 0) session.advance(session.cursor, redriven);
    return busy;
  }
}
