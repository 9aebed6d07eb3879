/**
 * The inbox of one consumer in memory: marks, attempts of suspects, what is known of the consumer itself. Held by test/conformance/consumer.ts
 * to what the tables do.
 */
import { PARK_REASONS, type OrderedFacts } from '../../inbox/handlers/decide.ts';
import type { Statement } from '../../inbox/handlers/unit-of-work.ts';
import type { InboxStore, OrderedArrival } from '../../inbox/stores/inbox-store.ts';
import type { SuspectStore } from '../../inbox/stores/suspect-store.ts';
import type { SqlExecutor } from '../../postgres/executor.ts';
import type { MemoryParked } from './memory-parked.ts';
import { counted, keyName, type MemoryDatabase, type MemoryWork } from './memory-work.ts';

export class MemoryInbox implements InboxStore {
  readonly #database: MemoryDatabase;
  readonly #consumer: string;
  readonly #parked: MemoryParked;
  /** When each was written, in milliseconds since the epoch. */
  readonly #marks = new Map<string, number>();

  constructor(database: MemoryDatabase, consumer: string, parked: MemoryParked) {
    this.#database = database;
    this.#consumer = consumer;
    this.#parked = parked;
    database.register(this.#name('mark'), async (work, [id]) => counted((await this.markIn(work, String(id))) ? 1 : 0));
    database.register(this.#name('mark in line'), (work, given) => this.#markInLine(work, given));
    database.register(this.#name('lock'), (work, [lock]) => {
      const locked = work.tryLock(keyName(lock));
      return { count: 1, rows: [{ locked: String(locked) }] };
    });
  }

  markStatement(messageId: string): Statement {
    return { sql: this.#name('mark'), parameters: [messageId], counted: true };
  }

  lockStatement(lock: string): Statement {
    return { sql: this.#name('lock'), parameters: [lock] };
  }

  orderedMarkStatements({ messageId, key, lock, predecessorId }: OrderedArrival): readonly Statement[] {
    const mark = { sql: this.#name('mark in line'), parameters: [messageId, key, predecessorId], counted: true };
    return [this.lockStatement(lock), mark];
  }

  async orderedFacts(
    _execute: SqlExecutor,
    { messageId, key, predecessorId, sentAt }: OrderedArrival,
  ): Promise<Omit<OrderedFacts, 'locked'>> {
    const line = this.#parked.lineOf(key);
    const [head] = line;
    const awaits = head?.reason === PARK_REASONS.predecessor ? head.predecessorId : null;
    const allLater = awaits !== null && sentAt !== null && line.every((row) => row.sentAt > sentAt);
    return {
      handled: this.#marks.has(messageId),
      head: head === undefined ? null : { awaits, allLater },
      predecessorSeen: predecessorId === null ? null : this.#marks.has(predecessorId),
      predecessorParked: sentAt !== null && line.some((row) => row.messageId === predecessorId && row.sentAt < sentAt),
    };
  }

  async mark(execute: SqlExecutor, messageId: string): Promise<void> {
    const work = this.#database.workOf(execute);
    await work.lock(this.#name(messageId));
    this.#write(work, messageId);
  }

  tryMark(execute: SqlExecutor, messageId: string): Promise<boolean> {
    return this.markIn(this.#database.workOf(execute), messageId);
  }

  /** Waits for who is writing the same mark; false when there is one. */
  async markIn(work: MemoryWork, messageId: string): Promise<boolean> {
    await work.lock(this.#name(messageId));
    if (this.#marks.has(messageId)) return false;
    this.#write(work, messageId);
    return true;
  }

  async has(_execute: SqlExecutor, messageId: string): Promise<boolean> {
    return this.#marks.has(messageId);
  }

  async prune(execute: SqlExecutor, olderThanMs: number, limit: number): Promise<number> {
    const before = this.#database.now() - olderThanMs;
    const old = [...this.#marks].filter(([id, at]) => at < before && !this.#parked.has(id)).slice(0, limit);
    this.#database.workOf(execute).onCommit(() => {
      for (const [id] of old) this.#marks.delete(id);
    });
    return old.length;
  }

  markAllStatement(): Statement {
    throw new TypeError('Messages share no transaction in memory.');
  }

  unmarkStatement(): Statement {
    throw new TypeError('Messages share no transaction in memory.');
  }

  async #markInLine(
    work: MemoryWork,
    [id, key, predecessorId]: readonly unknown[],
  ): Promise<ReturnType<typeof counted>> {
    const free = this.#parked.lineOf(String(key)).length === 0;
    const follows = typeof predecessorId !== 'string' || this.#marks.has(predecessorId);
    return counted(free && follows && (await this.markIn(work, String(id))) ? 1 : 0);
  }

  #write(work: MemoryWork, messageId: string): void {
    work.onCommit(() => this.#marks.set(messageId, this.#database.now()));
  }

  #name(of: string): string {
    return `inbox of ${this.#consumer}: ${of}`;
  }
}

export function createMemorySuspects(database: MemoryDatabase): SuspectStore {
  const attempts = new Map<string, { readonly count: number; readonly at: number }>();
  let firstRunAt: number | null = null;
  let identity: string | null = null;
  return {
    async markAttempt(execute, messageId) {
      const count = (attempts.get(messageId)?.count ?? 0) + 1;
      database.workOf(execute).onCommit(() => attempts.set(messageId, { count, at: database.now() }));
      return count;
    },
    async clear(execute, messageId) {
      database.workOf(execute).onCommit(() => attempts.delete(messageId));
    },
    async prune(execute, olderThanMs) {
      const before = database.now() - olderThanMs;
      database.workOf(execute).onCommit(() => {
        for (const [id, { at }] of attempts) if (at < before) attempts.delete(id);
      });
    },
    async firstRunAt() {
      firstRunAt ??= database.now();
      return new Date(firstRunAt);
    },
    identity: async () => identity,
    async storeIdentity(execute, known, next) {
      if (identity !== known) return false;
      database.workOf(execute).onCommit(() => (identity = next));
      return true;
    },
  };
}
