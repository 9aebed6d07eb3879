/**
 * Works off replays page by page, between pages of the live log, so that neither starves the other.
 */
import { createReplayHeads } from '../subscription/key-heads.ts';
import { forgetHead, publishEntries, type LeasedDelivery, type OpenReplay } from './delivery.ts';
import { advanceReplay, beginReplayPage, type ReplayCounts } from './replay-store.ts';

/** A page begun so often has killed its relays, or one after the other was stopped in it. */
const CAREFUL_FROM = 3;

/** For as long as a lease is held. */
export class Replays {
  readonly #leased: LeasedDelivery;
  readonly #schema: string;
  /** The one that the last page was of. */
  #open: OpenReplay | null = null;

  constructor(leased: LeasedDelivery, schema: string) {
    this.#leased = leased;
    this.#schema = schema;
  }

  /**
   * One page of the oldest open replay. Resolves with whether there is more to do. After deaths the page is one message, and the replay
   * is past it before it is published: one that kills its relay is passed over.
   */
  async page(limit: number): Promise<boolean> {
    const { session, subscription, log, crashPoint } = this.#leased;
    const replay = await beginReplayPage(session.writeClient, this.#schema, subscription.name);
    if (replay === null) return false;
    const { heads } = this.#headsOf(replay.id);
    const careful = replay.begunTimes >= CAREFUL_FROM;
    const { topic, key, toSeq } = replay;
    const wanted = { fromSeq: replay.position, toSeq, topic, key, limit: careful ? 1 : limit };
    const { entries, next } = await session.reader.range(wanted);
    const finished = next === null;
    const passed = (counts: ReplayCounts) =>
      advanceReplay(this.#schema, session, { id: replay.id, position: next ?? toSeq + 1, finished, ...counts }, heads);
    if (careful) {
      log.warn(
        { replayId: replay.id, messageId: entries[0]?.id },
        'relays ended here again and again: replaying one message at a time',
      );
      await passed({ published: entries.length, unrouted: 0, refused: 0 });
    }
    const { refused, unrouted } = await publishEntries(this.#leased, entries, { replay: { id: replay.id, heads } });
    for (const [entry, { error, permanent }] of refused) {
      // What may go out with the next replay is waited for.
      if (permanent) forgetHead(this.#leased, entry, heads);
      log.error({ replayId: replay.id, messageId: entry.id, err: error }, 'replayed message refused by the broker');
    }
    heads.settle();
    crashPoint('relay.replay:before');
    const counts = {
      published: entries.length - refused.length - unrouted.length,
      unrouted: unrouted.length,
      refused: refused.length,
    };
    // What was noted as published before it was, is put right.
    const all = careful
      ? await passed({ ...counts, published: counts.published - entries.length })
      : await passed(counts);
    crashPoint('relay.replay:after');
    if (finished) {
      const missed = all.unrouted + all.refused > 0;
      log[missed ? 'warn' : 'info'](
        { replayId: replay.id, ...all },
        missed ? 'replay finished, and not everything went out: no route, or refused' : 'replay finished',
      );
    }
    return true;
  }

  #headsOf(id: string): OpenReplay {
    if (this.#open?.id !== id) this.#open = { id, heads: createReplayHeads(this.#schema, id) };
    return this.#open;
  }
}
