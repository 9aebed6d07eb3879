/**
 * A shard while its lease is held: reads the log page by page, brings the pages out, moves the cursor behind them. Whatever fails ends
 * it; the shard is then taken anew, from what is stored.
 */
import { sequenceBehind } from '../../postgres/sequences.ts';
import type { LogEntry, LogPage } from '../log/log-reader.ts';
import { afterSuccess, markBefore } from '../subscription/poison.ts';
import type { Session } from '../subscription/session.ts';
import { Chores } from './chores.ts';
import { deliver, type DeliveryCounts, type LeasedDelivery } from './delivery.ts';
import type { PageLimit } from './page-limit.ts';
import type { ReadPatience } from './read-patience.ts';
import type { RunnerContext } from './runner-context.ts';

/** What was found, for the pace of the next look. */
export interface PageResult {
  /** Messages of the page. */
  readonly size: number;
  /** There is more to do at once. */
  readonly more: boolean;
  /** The last number that the log has given out, and how far it is read. */
  readonly drawn: number;
  readonly high: number;
}

export interface HeldShardOptions {
  readonly session: Session;
  /** Parked messages that the log must not bring again, perhaps with the cursor still before them. */
  readonly setAside: ReadonlySet<number>;
  /** Relays died before this one without progress, perhaps of a parked message. */
  readonly careful: boolean;
  readonly patience: ReadPatience;
  readonly pages: PageLimit;
  /** The hard stop. */
  readonly signal: AbortSignal;
}

/** A busy relay brings out a page a millisecond, and one of many tells as much. */
const DELAYS_EVERY_MS = 10;
const NONE: DeliveryCounts = { published: 0, parked: 0, unrouted: 0 };

export class HeldShard {
  readonly session: Session;
  readonly #context: RunnerContext;
  readonly #leased: LeasedDelivery;
  readonly #chores: Chores;
  readonly #setAside: ReadonlySet<number>;
  readonly #patience: ReadPatience;
  readonly #pages: PageLimit;
  #prefetched: Promise<LogPage> | null = null;
  #delaysCountedAtMs = -Infinity;

  constructor(context: RunnerContext, { session, setAside, careful, patience, pages, signal }: HeldShardOptions) {
    const { subscription, dispatcher, parking, clock, random, log, crashPoint } = context;
    this.session = session;
    this.#context = context;
    this.#leased = { subscription, dispatcher, parking, clock, random, log, crashPoint, session, pages, signal };
    this.#chores = new Chores(this.#leased, context.database.schema, { careful });
    this.#setAside = setAside;
    this.#patience = patience;
    this.#pages = pages;
  }

  /** The next page, and before it what else is due. */
  async page(): Promise<PageResult> {
    const { session } = this;
    session.assertAlive();
    const busy = session.probe === null && this.#chores.isDue && (await this.#chores.run());
    const page = await this.#read();
    await this.#bringOut(page);
    return { size: page.entries.length, more: page.more || busy, drawn: page.drawn, high: page.next.high };
  }

  async #read(): Promise<LogPage> {
    const { session } = this;
    const { crashPoint } = this.#context;
    const limit = session.probe?.size ?? this.#pages.messages;
    crashPoint('relay.read:before');
    const page = await (this.#prefetched ?? session.reader.read(session.cursor, limit));
    this.#patience.answered();
    crashPoint('relay.read:after');
    this.#prefetched = null;
    // Then what is written next could lie behind the cursor. The next session mends it before it reads.
    if (page.drawn < Math.max(page.next.high, session.cursor.floor))
      throw sequenceBehind(`The sequence of the log is at ${page.drawn}, and its cursor at ${page.next.high}.`);
    if (page.more && session.probe === null) {
      // Read the next page while this one is on its way. Should this one fail, the session's cursor has not moved.
      this.#prefetched = session.reader.read(page.next, limit);
      this.#prefetched.catch(() => {});
    }
    return page;
  }

  #countDelays(entries: readonly LogEntry[]): void {
    const { key, metrics, clock } = this.#context;
    const nowMs = clock.monotonic();
    if (nowMs - this.#delaysCountedAtMs < DELAYS_EVERY_MS) return;
    this.#delaysCountedAtMs = nowMs;
    const databaseTime = this.session.reader.databaseTime();
    if (databaseTime !== null) metrics.delayed(key, entries, databaseTime);
  }

  async #bringOut(page: LogPage): Promise<void> {
    const { session } = this;
    const { key, store, metrics, log } = this.#context;
    const aside = this.#setAside;
    const entries = aside.size === 0 ? page.entries : page.entries.filter((entry) => !aside.has(entry.seq));
    let marked = false;
    if (session.probe !== null && entries.length > 0) {
      marked = true;
      session.probe = markBefore(
        session.probe,
        entries.map((entry) => entry.seq),
        session.epoch,
      );
      await store.markProbe(session, session.probe);
    }
    const counts = entries.length === 0 ? NONE : await deliver(this.#leased, entries);
    metrics.delivered(key, counts);
    if (counts.published > 0) this.#countDelays(entries);
    if (counts.unrouted > 0) log.debug({ unrouted: counts.unrouted }, 'messages without a route passed over');
    if (session.probe !== null) session.probe = afterSuccess(session.probe, page.entries.length, page.more);
    else if (!hasMoved(session, page)) return;
    session.advance(page.next, counts.published);
    // The mark must be gone before anything else is published, also when it was the last: whoever takes over from a relay that dies
    // of the next page would blame what is marked.
    if (marked || this.#pages.isCut) await session.flush();
    if (this.#pages.isCut) this.#pages.stored();
  }
}

function hasMoved({ cursor }: Session, { next, entries }: LogPage): boolean {
  return entries.length > 0 || next.high !== cursor.high || next.catchup !== null || cursor.catchup !== null;
}
