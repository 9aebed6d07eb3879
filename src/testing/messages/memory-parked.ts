/**
 * What one consumer has parked, in memory. Held by test/conformance/consumer.ts to what the table does.
 */
import type { ParkedSize } from '../../inbox/handlers/decide-refused.ts';
import { PARK_REASONS, type ParkReason } from '../../inbox/handlers/decide.ts';
import type {
  DueOptions,
  ParkedDeliveryStore,
  ParkedRow,
  ParkingRecord,
  ParkingStatus,
  PruneOptions,
} from '../../inbox/stores/parked-delivery-store.ts';
import type { SqlExecutor } from '../../postgres/executor.ts';
import type { MemoryDatabase } from './memory-work.ts';

interface StoredDelivery extends Omit<ParkingRecord, 'retryInMs' | 'line'> {
  /** Place among those of its key: below zero for what was let in before them. */
  readonly position: number;
  readonly parkedAt: number;
  /** Milliseconds since the epoch; null: not by itself. */
  readonly dueAt: number | null;
  readonly redrives: number;
  /** From the envelope; '' where it says none, or not as relays do. */
  readonly sentAt: string;
  readonly predecessorId: string | null;
}

export class MemoryParked implements ParkedDeliveryStore {
  readonly #database: MemoryDatabase;
  readonly #consumer: string;
  readonly #rows = new Map<string, StoredDelivery>();
  #inserted = 0;

  constructor(database: MemoryDatabase, consumer: string) {
    this.#database = database;
    this.#consumer = consumer;
  }

  has(messageId: string): boolean {
    return this.#rows.has(messageId);
  }

  /** In the order of their positions. */
  get rows(): readonly StoredDelivery[] {
    return [...this.#rows.values()].toSorted((a, b) => a.position - b.position);
  }

  /** Those of a key, first to last. */
  lineOf(key: string): readonly StoredDelivery[] {
    return [...this.#rows.values()].filter((row) => row.key === key).toSorted((a, b) => a.position - b.position);
  }

  /** When the next one of these topics is due; Infinity: none is. */
  nextDueAt(topics: readonly string[]): number {
    return Math.min(
      ...[...this.#rows.values()].filter((row) => isFor(row, topics)).map(({ dueAt }) => dueAt ?? Infinity),
    );
  }

  async insert(execute: SqlExecutor, record: ParkingRecord): Promise<void> {
    this.#onCommit(execute, () => {
      if (this.#rows.has(record.messageId)) return;
      const { retryInMs, line, ...rest } = record;
      const read = readEnvelope(record.envelope);
      const ahead =
        line === undefined || record.key === null ? null : this.#placeAhead(record.key, record.messageId, line.sentAt);
      this.#inserted += 1;
      const position = ahead ?? this.#inserted;
      const parkedAt = this.#database.now();
      this.#rows.set(record.messageId, {
        ...rest,
        ...read,
        position,
        parkedAt,
        dueAt: this.#after(retryInMs),
        redrives: 0,
      });
    });
  }

  async lockDue(execute: SqlExecutor, { limit, ordered, topics }: DueOptions): Promise<readonly ParkedRow[]> {
    const work = this.#database.workOf(execute);
    const now = this.#database.now();
    return [...this.#rows.values()]
      .filter((row) => row.dueAt !== null && row.dueAt <= now && isFor(row, topics) && (!ordered || this.#isFirst(row)))
      .toSorted((a, b) => (a.dueAt ?? 0) - (b.dueAt ?? 0))
      .filter((row) => work.tryLock(this.#lockOf(row.messageId)))
      .slice(0, limit);
  }

  async claim(execute: SqlExecutor, messageId: string, retryInMs: number | null): Promise<void> {
    this.#change(execute, messageId, (row) => ({
      redrives: row.redrives + 1,
      attempts: row.attempts + 1,
      dueAt: this.#after(retryInMs),
    }));
  }

  async lock(execute: SqlExecutor, messageId: string, ordered: boolean): Promise<{ readonly reason: string } | null> {
    const row = this.#rows.get(messageId);
    if (row === undefined || (ordered && !this.#isFirst(row))) return null;
    return this.#database.workOf(execute).tryLock(this.#lockOf(messageId)) ? { reason: row.reason } : null;
  }

  async remove(execute: SqlExecutor, messageId: string): Promise<void> {
    this.#onCommit(execute, () => {
      const row = this.#rows.get(messageId);
      this.#rows.delete(messageId);
      const [next] = row?.key === null || row === undefined ? [] : this.lineOf(row.key);
      if (next !== undefined && (next.state === 'behind' || next.reason === PARK_REASONS.predecessor)) this.#wake(next);
    });
  }

  async wakeSuccessor(execute: SqlExecutor, messageId: string, key: string): Promise<void> {
    this.#onCommit(execute, () => {
      const [head] = this.lineOf(key);
      if (head?.reason === PARK_REASONS.predecessor && head.predecessorId === messageId) this.#wake(head);
    });
  }

  async moveBehindEarlier(execute: SqlExecutor, messageId: string, predecessorId: string | null): Promise<boolean> {
    const row = this.#rows.get(messageId);
    if (row === undefined || row.key === null) return false;
    const { key, sentAt } = row;
    const earlier = this.lineOf(key).filter((other) => other.sentAt < sentAt);
    if (!earlier.some((other) => predecessorId === null || other.messageId === predecessorId)) return false;
    this.#change(execute, messageId, (now) => {
      this.#inserted += 1;
      const place = { position: this.#inserted, state: 'behind', reason: PARK_REASONS.behind, error: null } as const;
      return { ...givenBack(now), ...place, dueAt: null };
    });
    await this.wakeFirst(execute, key, { waiting: true });
    return true;
  }

  async wakeFirst(execute: SqlExecutor, key: string, { waiting }: { readonly waiting: boolean }): Promise<void> {
    this.#onCommit(execute, () => {
      const [head] = this.lineOf(key);
      if (head?.state === 'behind' || (waiting && head?.reason === PARK_REASONS.predecessor)) this.#wake(head);
    });
  }

  async keep(execute: SqlExecutor, messageId: string, { retryInMs, ...status }: ParkingStatus): Promise<void> {
    this.#change(execute, messageId, () => ({ ...status, dueAt: this.#after(retryInMs) }));
  }

  async handOn(execute: SqlExecutor, messageId: string, error: string): Promise<void> {
    this.#change(execute, messageId, (row) => ({
      ...givenBack(row),
      reason: PARK_REASONS.noHandler,
      error,
      dueAt: null,
    }));
  }

  async wakeHandled(execute: SqlExecutor, topics: readonly string[]): Promise<number> {
    const found = [...this.#rows.values()].filter(
      ({ topic, reason, dueAt, redrives }) =>
        topics.includes(topic) && reason === PARK_REASONS.noHandler && dueAt === null && redrives === 0,
    );
    this.#onCommit(execute, () => found.forEach((row) => this.#wake(row)));
    return found.length;
  }

  async postpone(execute: SqlExecutor, messageId: string, delayMs: number): Promise<void> {
    this.#change(execute, messageId, (row) => ({ ...givenBack(row), dueAt: this.#after(delayMs) }));
  }

  async count(): Promise<number> {
    return this.#rows.size;
  }

  async sizeFor(_execute: SqlExecutor, reason: ParkReason): Promise<ParkedSize> {
    const found = [...this.#rows.values()].filter((row) => row.reason === reason);
    return { messages: found.length, bytes: found.reduce((sum, { envelope }) => sum + envelope.length, 0) };
  }

  async prune(execute: SqlExecutor, { reason, olderThanMs, most, limit }: PruneOptions): Promise<number> {
    const before = this.#database.now() - olderThanMs;
    const old = [...this.#rows.values()]
      .filter((row) => row.reason === reason)
      .toSorted((a, b) => b.parkedAt - a.parkedAt)
      .filter((row, index) => index >= most || row.parkedAt < before)
      .slice(0, limit);
    this.#onCommit(execute, () => old.forEach(({ messageId }) => this.#rows.delete(messageId)));
    return old.length;
  }

  #onCommit(execute: SqlExecutor, effect: () => void): void {
    this.#database.workOf(execute).onCommit(effect);
  }

  #change(execute: SqlExecutor, messageId: string, to: (row: StoredDelivery) => Partial<StoredDelivery>): void {
    this.#onCommit(execute, () => {
      const row = this.#rows.get(messageId);
      if (row !== undefined) this.#rows.set(messageId, { ...row, ...to(row) });
    });
  }

  #wake(row: StoredDelivery): void {
    this.#rows.set(row.messageId, { ...row, dueAt: this.#database.now() });
  }

  #after(delayMs: number | null): number | null {
    return delayMs === null ? null : this.#database.now() + delayMs;
  }

  #isFirst(row: StoredDelivery): boolean {
    return row.key === null || this.lineOf(row.key)[0]?.messageId === row.messageId;
  }

  #lockOf(messageId: string): string {
    return `parked by ${this.#consumer}: ${messageId}`;
  }

  /** The position of a message that must not go to the end of the line, as the table has it; else null. */
  #placeAhead(key: string, messageId: string, sentAt: string | null): number | null {
    const line = this.lineOf(key);
    const precedes = (row: StoredDelivery): boolean =>
      row.reason === PARK_REASONS.predecessor &&
      (row.predecessorId === messageId || (sentAt !== null && sentAt < row.sentAt));
    const [head] = line;
    if (head !== undefined && head.position < 0 && precedes(head)) return head.position - 1;
    const waiting = line.find(({ position }) => position > 0);
    if (waiting === undefined || !precedes(waiting)) return null;
    const ahead = line.filter(({ position }) => position < 0).map(({ position }) => position);
    return Math.max(AHEAD, ...ahead) + 1;
  }
}

/** Positions below zero begin here. */
const AHEAD = -1_000_000_000_000_000;

/** Whether a process with handlers for these topics takes it up. */
function isFor({ topic, reason }: StoredDelivery, topics: readonly string[]): boolean {
  const { undecodable, noHandler, unverified } = PARK_REASONS;
  return topics.includes(topic) || [undecodable, noHandler, unverified].some((each) => each === reason);
}

function givenBack({ redrives, attempts }: StoredDelivery): Pick<StoredDelivery, 'redrives' | 'attempts'> {
  return { redrives: Math.max(0, redrives - 1), attempts: Math.max(0, attempts - 1) };
}

function readEnvelope(text: string): Pick<StoredDelivery, 'sentAt' | 'predecessorId'> {
  let event: unknown;
  try {
    event = JSON.parse(text);
  } catch {
    event = null;
  }
  const { time, predecessorid: predecessor } = Object(event) as Readonly<Record<string, unknown>>;
  return {
    sentAt: typeof time === 'string' ? time.replace(/Z+$/, '') : '',
    predecessorId: typeof predecessor === 'string' ? predecessor.toLowerCase() : null,
  };
}
