/**
 * What happens in the database of a project, as lines for whoever looks on: what was read is held against what was told. Pure but for its
 * memory, which is bounded.
 */
import { DEFAULT_REPLY_TOPIC } from '../../saga/protocol/wire.ts';
import type { ActivityPlace, ActivityRows, JournalNews, MessageNews } from '../../operations/activity/read-activity.ts';
import { runLine, type Begun, type LineTone } from './run-lines.ts';

/** One thing that has happened. */
export interface ActivityLine {
  /** Milliseconds since the epoch, on the database's clock. */
  readonly at: number;
  readonly about: 'run' | 'message' | 'consumer' | 'parked';
  readonly tone: LineTone;
  /** Saga, consumer or topic. */
  readonly name: string;
  /** The key, or the beginning of the id of what has none. */
  readonly key: string;
  readonly id: string;
  readonly what: string;
  readonly tookMs: number | null;
}

/** A transaction of the user's may have begun so long ago when it commits, in milliseconds: its rows bear the time of its begin. */
const LOOK_BACK_MS = 60_000;
/** So many numbers of the log before the last may belong to transactions that were not yet committed. */
const LOOK_BACK_SEQ = 1_000;
/** A message that no subscription has passed is told of after this, in milliseconds. */
const UNPUBLISHED_MS = 3_000;
const MOST_UNPUBLISHED = 200;

export class ActivityLines {
  readonly #from: number;
  readonly #fromSeq: number;
  #place: ActivityPlace;
  /** What was told, with when it happened: it is forgotten when it is not read any more. */
  readonly #told = new Map<string, number>();
  readonly #begun = new Map<string, Begun>();
  readonly #unpublished = new Map<string, { readonly at: number; told: boolean }>();

  /** What lies before this moment is history. */
  constructor({ now, seq }: Pick<ActivityRows, 'now' | 'seq'>) {
    this.#from = now;
    this.#fromSeq = seq;
    this.#place = { since: now, seq, messages: [] };
  }

  /** What is to be read next. */
  get place(): ActivityPlace {
    return this.#place;
  }

  take(rows: ActivityRows): readonly ActivityLine[] {
    const lines = [
      ...rows.journal.flatMap((row) => this.#journal(row)),
      ...rows.messages.flatMap((row) => this.#message(row, rows.now)),
      ...rows.handled
        .filter((row) => row.topic !== DEFAULT_REPLY_TOPIC && row.at >= this.#from)
        .filter((row) => this.#isNew(`handled ${row.consumer} ${row.id}`, row.at))
        .map(({ at, consumer, id, topic, key }): ActivityLine => ({
          at,
          about: 'consumer',
          tone: 'good',
          name: consumer,
          id,
          tookMs: null,
          key: key ?? shortId(id),
          what: topic === null ? 'handled a message' : `handled ${topic}`,
        })),
      ...rows.parked
        .filter(
          (row) => row.at >= this.#from && this.#isNew(`parked ${row.by} ${row.consumer} ${row.id} ${row.at}`, row.at),
        )
        .map(({ at, by, consumer, id, topic, key, reason, error }): ActivityLine => ({
          at,
          about: 'parked',
          tone: 'bad',
          name: consumer,
          id,
          tookMs: null,
          key: key ?? shortId(id),
          what: `parked ${topic ?? 'a message'}${by === 'relay' ? ', which it could not publish' : ''}: ${error ?? reason}`,
        })),
    ];
    this.#forget(rows);
    return lines.toSorted((a, b) => a.at - b.at);
  }

  #journal(row: JournalNews): readonly ActivityLine[] {
    const { at, saga, id } = row;
    if (at < this.#from || !this.#isNew(`run ${id} ${row.n}`, at)) return [];
    const begun = this.#begun.get(id) ?? new Map();
    this.#begun.set(id, begun);
    const lines = row.events.flatMap((event): readonly ActivityLine[] => {
      const line = runLine(event, { at, startedAt: row.startedAt, begun });
      if (event.t === 'completed' || event.t === 'undone') this.#begun.delete(id);
      if (line === null) return [];
      return [{ at, about: 'run', name: saga, key: row.key ?? shortId(id), id, ...line }];
    });
    return lines;
  }

  /** Told of when it is published; or that it is not, after a while. */
  #message({ id, at, topic, key, passed }: MessageNews, now: number): readonly ActivityLine[] {
    if (topic === DEFAULT_REPLY_TOPIC) return [];
    const line = (tone: LineTone, what: string): ActivityLine => ({
      at,
      about: 'message',
      tone,
      name: topic,
      id,
      what,
      tookMs: null,
      key: key ?? shortId(id),
    });
    if (passed === true) {
      this.#unpublished.delete(id);
      return this.#isNew(`message ${id}`, at) ? [line('plain', 'published')] : [];
    }
    if (passed === null)
      return this.#isNew(`message ${id}`, at) ? [line('notable', 'written; no relay reads the outbox')] : [];
    const before = this.#unpublished.get(id) ?? { at: now, told: false };
    this.#unpublished.set(id, before);
    if (before.told || now - before.at < UNPUBLISHED_MS) return [];
    before.told = true;
    return [line('notable', 'written, and not published yet')];
  }

  #isNew(what: string, at: number): boolean {
    if (this.#told.has(what)) return false;
    this.#told.set(what, at);
    return true;
  }

  #forget({ now, seq }: ActivityRows): void {
    const since = Math.max(this.#from, now - LOOK_BACK_MS);
    // Twice as long: what lies at the edge may be read once more.
    for (const [what, at] of this.#told) if (at < now - 2 * LOOK_BACK_MS) this.#told.delete(what);
    const [...ids] = this.#unpublished.keys();
    for (const id of ids.slice(0, Math.max(0, ids.length - MOST_UNPUBLISHED))) this.#unpublished.delete(id);
    this.#place = {
      since,
      seq: Math.max(this.#fromSeq, seq - LOOK_BACK_SEQ),
      messages: [...this.#unpublished.keys()],
    };
  }
}

function shortId(id: string): string {
  // Ids begin with the time: their ends tell them apart.
  return `…${id.slice(-6)}`;
}
