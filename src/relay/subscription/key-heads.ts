/**
 * The last message sent per key to an ordered destination (table `key_head`), so that the next one can name its predecessor and an
 * ordered consumer can hold back a message that overtook. Costs nothing for other destinations.
 *
 * Heads are written together with the cursor: after a crash the log is read again from the stored cursor, and each message gets a
 * predecessor that was published before it, if perhaps not the same one as the first time.
 *
 * A replay has heads of its own, under a name that no subscription can have. Its messages name each other: what a broker has left of it
 * after a loss waits for what the next replay brings. The first of a key names none. The one before it in the log was handled when the
 * replay was asked for; a consumer that is new has never had it, and would wait for nothing.
 */
import type { ClientBase } from 'pg';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { KeyHead } from './routes.ts';

export interface KeyHeads {
  /** Brings the heads of these keys into memory. */
  load(client: ClientBase, wanted: readonly KeyedMessage[]): Promise<void>;
  /**
   * The predecessor of this message, which becomes the head itself once the page is settled. With `again`, for a message that was
   * parked: should later ones of its key have gone out in the batch that refused it, they name it, and so it must not name them.
   */
  follow(message: KeyedMessage & KeyHead, options?: { readonly again: boolean }): KeyHead | undefined;
  /** The message was parked instead of published: it is nobody's predecessor. */
  unfollow(message: KeyedMessage & { readonly id: string }): void;
  /** The page was published: its heads are now to be written with the cursor behind it. */
  settle(): void;
  /** Whether there is something to write. */
  readonly dirty: boolean;
  /** The heads of settled pages, to be written by `headsWritten` in the transaction that also writes the cursor, or how far the replay
   *  is: one without the other could give two messages each other as predecessor. */
  unwritten(): UnwrittenHeads;
  /** Writes them, in the caller's transaction. Returns what to call once that is committed. */
  persist(client: ClientBase): Promise<() => void>;
}

/** Heads that are not in the table yet. */
export interface UnwrittenHeads {
  /** Whose they are. */
  readonly subscription: string;
  /** Their rows, as JSON text. */
  readonly rows: string;
  /** To be called once they are committed. */
  readonly written: () => void;
}

export interface KeyedMessage {
  readonly destination: string;
  readonly key: string;
}

/** Heads kept in memory; beyond that the ones already written are forgotten. */
const MEMORY_LIMIT = 100_000;

/** What the name begins with under which the heads of a replay are kept; then comes its id. */
export const HEADS_OF_REPLAY = 'replay:';

export function createKeyHeads(schema: string, subscription: string): KeyHeads {
  return new KeyHeadTable(schema, subscription);
}

export function createReplayHeads(schema: string, replayId: string): KeyHeads {
  return createKeyHeads(schema, `${HEADS_OF_REPLAY}${replayId}`);
}

/** The statement that writes heads. `subscription` and `rows` are the places of its parameters, `when` is a condition for all of them. */
export function writeHeadsSql(
  schema: string,
  { subscription, rows }: { readonly subscription: string; readonly rows: string },
  when = 'true',
): string {
  return `INSERT INTO ${quoteIdentifier(schema)}.key_head (subscription, destination, key, message_id, published_at, sent_at)
     SELECT ${subscription}, destination, key, id, at, "sentAt"
     FROM json_to_recordset(${rows}::json) AS h (destination text, key text, id uuid, at timestamptz, "sentAt" timestamptz) WHERE ${when}
     ON CONFLICT (subscription, destination, key) DO UPDATE SET message_id = excluded.message_id, published_at = excluded.published_at,
       sent_at = excluded.sent_at`;
}

class KeyHeadTable implements KeyHeads {
  readonly #schema: string;
  readonly #subscription: string;
  /** As far as they are known; null: there is none. */
  readonly #heads = new Map<string, KeyHead | null>();
  /** Of settled pages, and not written yet. */
  readonly #dirty = new Map<string, KeyedMessage & KeyHead>();
  /** The page under way: its heads, and what each was before. */
  readonly #page = new Map<string, { head: KeyedMessage & KeyHead; before: KeyHead | null }>();
  /** Whom the messages of the page follow, by destination and id. */
  readonly #followed = new Map<string, KeyHead | null>();

  constructor(schema: string, subscription: string) {
    this.#schema = schema;
    this.#subscription = subscription;
  }

  async load(client: ClientBase, wanted: readonly KeyedMessage[]): Promise<void> {
    const heads = this.#heads;
    if (heads.size + wanted.length > MEMORY_LIMIT) {
      for (const id of heads.keys()) if (!this.#dirty.has(id)) heads.delete(id);
    }
    const missing = new Map(
      wanted.filter((message) => !heads.has(idOf(message))).map((message) => [idOf(message), message]),
    );
    if (missing.size === 0) return;
    const found = await client.query<HeadRow>(
      `SELECT h.destination, h.key, h.message_id AS id,
         to_char(h.published_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at,
         to_char(h.sent_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS sent_at
       FROM json_to_recordset($2::json) AS w (destination text, key text)
       JOIN ${quoteIdentifier(this.#schema)}.key_head h ON h.subscription = $1 AND h.destination = w.destination AND h.key = w.key`,
      [this.#subscription, JSON.stringify([...missing.values()])],
    );
    for (const id of missing.keys()) heads.set(id, null);
    for (const row of found.rows) heads.set(idOf(row), { id: row.id, at: row.at, sentAt: row.sent_at });
  }

  follow(message: KeyedMessage & KeyHead, { again } = { again: false }): KeyHead | undefined {
    const id = idOf(message);
    // Sent again within its page: it follows whom it followed the first time.
    const first = this.#followed.get(`${message.destination}\n${message.id}`);
    if (first !== undefined) return first ?? undefined;
    const before = this.#page.get(id)?.head ?? this.#heads.get(id) ?? null;
    if (before?.id === message.id || (again && before !== null && isLater(before.at, message.at))) return undefined;
    this.#followed.set(`${message.destination}\n${message.id}`, before);
    this.#page.set(id, { head: message, before });
    return before === null ? undefined : { id: before.id, at: before.at, sentAt: before.sentAt };
  }

  unfollow(message: KeyedMessage & { readonly id: string }): void {
    const id = idOf(message);
    const entry = this.#page.get(id);
    if (entry?.head.id !== message.id) return;
    if (entry.before === null) this.#page.delete(id);
    else this.#page.set(id, { head: { ...message, ...entry.before }, before: null });
  }

  settle(): void {
    for (const [id, { head }] of this.#page) {
      this.#heads.set(id, { id: head.id, at: head.at, sentAt: head.sentAt });
      this.#dirty.set(id, head);
    }
    this.#page.clear();
    this.#followed.clear();
  }

  get dirty(): boolean {
    return this.#dirty.size > 0;
  }

  unwritten(): UnwrittenHeads {
    const writing = new Map(this.#dirty);
    return {
      subscription: this.#subscription,
      rows: JSON.stringify([...writing.values()]),
      written: () => {
        for (const [id, head] of writing) if (this.#dirty.get(id) === head) this.#dirty.delete(id);
      },
    };
  }

  async persist(client: ClientBase): Promise<() => void> {
    const { subscription, rows, written } = this.unwritten();
    await client.query(writeHeadsSql(this.#schema, { subscription: '$1', rows: '$2' }), [subscription, rows]);
    return written;
  }
}

interface HeadRow extends KeyedMessage {
  readonly id: string;
  readonly at: string;
  readonly sent_at: string | null;
}

const idOf = ({ destination, key }: KeyedMessage): string => `${destination}\n${key}`;

/** Of two RFC 3339 times in UTC, to the microsecond, perhaps without trailing zeros. */
function isLater(one: string, other: string): boolean {
  const comparable = (time: string) => {
    const [seconds, fraction = ''] = time.slice(0, -1).split('.');
    return `${seconds}.${fraction.padEnd(6, '0')}`;
  };
  return comparable(one) > comparable(other);
}
