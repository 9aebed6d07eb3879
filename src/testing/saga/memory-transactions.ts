/**
 * Transactions of clients on the in-memory store: what is started and sent in one is seen by nobody else before it commits. Two that
 * start the same key wait for each other, as on PostgreSQL.
 */
import { isDeepStrictEqual } from 'node:util';
import { HoldfastError } from '../../errors.ts';
import {
  MOST_SIGNALS,
  type ClientStore,
  type PostAnswer,
  type RunMessageBody,
  type StartedRun,
  type StartRequest,
} from '../../saga/store/store.ts';
import type { JournalRow, RunStatus } from '../../saga/journal/events.ts';
import { emptyState } from '../../saga/journal/state.ts';
import { apply } from '../../saga/state/fold.ts';
import type { MemoryTables } from './memory-tables.ts';

/** A transaction of the in-memory store; made by its `begin()`. */
export interface MemoryTx {
  /** Makes everything visible at once. Does nothing when it has ended. */
  commit(): void;
  /** Forgets everything. Does nothing when it has ended. */
  rollback(): void;
}

export interface MemoryTransactions extends Pick<ClientStore<MemoryTx>, 'start' | 'postRunMessage'> {
  begin(): MemoryTx;
}

export function createMemoryTransactions(
  tables: MemoryTables,
  now: () => number,
  changed: () => void,
): MemoryTransactions {
  const open = new Set<OpenTx>();
  const begin = (): OpenTx => {
    const tx = new OpenTx(tables, changed, () => open.delete(tx));
    open.add(tx);
    return tx;
  };

  /** In the caller's transaction, or in one of its own. */
  async function within<T>(tx: MemoryTx | null, fn: (tx: OpenTx) => T | Promise<T>): Promise<T> {
    if (tx !== null) {
      const given = tx as OpenTx;
      if (open.has(given)) return fn(given);
      throw new HoldfastError('HF_NOT_IN_TRANSACTION', 'The transaction of the in-memory store has ended.', {
        advice: 'Use it before its commit(), or open another one with store.begin().',
      });
    }
    const own = begin();
    try {
      const result = await fn(own);
      own.commit();
      return result;
    } finally {
      own.rollback();
    }
  }

  return {
    begin,
    start: (tx, requests) =>
      within(tx, async (inside) => {
        const started: StartedRun[] = [];
        for (const request of requests) {
          // Nothing may come between the last look and the start.
          let holder = otherWithKey(open, inside, request);
          while (holder !== undefined) {
            await holder.ended;
            holder = otherWithKey(open, inside, request);
          }
          started.push(startIn(inside, tables, request, now()));
        }
        return started;
      }),
    postRunMessage: (tx, runId, body, statuses) =>
      within(tx, (inside) => {
        const refused = refusal(inside, tables, { runId, body, statuses });
        if (refused.why !== null) return refused.why;
        inside.runMessages.push({ runId, at: now(), body: JSON.parse(JSON.stringify(body)) as RunMessageBody });
        const undecided = body.kind === 'cancel' && (tx !== null || isUndecided(tables.journalOf(runId)));
        return { accepted: true, status: refused.status, ...(undecided ? { undecided } : {}) };
      }),
  };
}

class OpenTx implements MemoryTx {
  readonly starts: { readonly request: StartRequest; readonly at: number }[] = [];
  readonly runMessages: { readonly runId: string; readonly at: number; readonly body: RunMessageBody }[] = [];
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  readonly #tables: MemoryTables;
  readonly #changed: () => void;
  readonly #onEnd: () => void;
  #end: () => void = () => {};
  #open = true;

  constructor(tables: MemoryTables, changed: () => void, onEnd: () => void) {
    this.#tables = tables;
    this.#changed = changed;
    this.#onEnd = onEnd;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  commit(): void {
    if (!this.#close() || (this.starts.length === 0 && this.runMessages.length === 0)) return;
    this.#tables.atomically((write) => {
      for (const { request, at } of this.starts) write.start(request, at);
      for (const { runId, at, body } of this.runMessages) write.postRunMessage(runId, body, at);
    });
    this.#changed();
  }

  rollback(): void {
    this.#close();
  }

  /** Returns whether it was open. */
  #close(): boolean {
    const wasOpen = this.#open;
    this.#open = false;
    this.#onEnd();
    this.#end();
    return wasOpen;
  }
}

/** Whether a transaction starts a run with the saga and key of this one. */
function startWithKey(tx: OpenTx, { saga, key }: StartRequest): StartRequest | undefined {
  return tx.starts.find(({ request }) => request.saga === saga && request.key === key)?.request;
}

/** Another open transaction that starts a run with this key. */
function otherWithKey(open: ReadonlySet<OpenTx>, tx: OpenTx, request: StartRequest): OpenTx | undefined {
  if (request.key === null) return undefined;
  return [...open].find((each) => each !== tx && startWithKey(each, request) !== undefined);
}

function startIn(tx: OpenTx, tables: MemoryTables, request: StartRequest, at: number): StartedRun {
  const { id, key, saga } = request;
  if (key !== null) {
    const there = tables.runWithKey(saga, key) ?? startWithKey(tx, request)?.id;
    if (there !== undefined) return alreadyThere(tx, tables, request, there);
  }
  const twin = tables.runs.get(id) ?? tx.starts.find((other) => other.request.id === id)?.request;
  if (twin !== undefined) {
    if (twin.saga === saga && twin.key === key) return alreadyThere(tx, tables, request, id);
    throw new Error(`The id ${id} belongs to another run.`);
  }
  tx.starts.push({ request: { ...request }, at });
  return { id, created: true };
}

/** A run that is there, perhaps with another input. */
function alreadyThere(tx: OpenTx, tables: MemoryTables, request: StartRequest, id: string): StartedRun {
  const own = tx.starts.find((each) => each.request.id === id)?.request.input;
  const [first] = tables.journalOf(id)[0]?.events ?? [];
  const input: unknown = own === undefined ? first?.t === 'started' && first.input : JSON.parse(own);
  return { id, created: false, ...(isDeepStrictEqual(input, JSON.parse(request.input)) ? {} : { otherInput: true }) };
}

interface Posted {
  readonly runId: string;
  readonly body: RunMessageBody;
  readonly statuses: readonly RunStatus[];
}

/** Why a run message is refused; null: it is not. */
function refusal(
  tx: OpenTx,
  tables: MemoryTables,
  { runId, body, statuses }: Posted,
): { readonly why: null; readonly status: RunStatus } | { readonly why: PostAnswer } {
  const fresh = tx.starts.some(({ request }) => request.id === runId);
  const run = fresh ? { status: 'pending' as const, pivoted: false } : tables.runs.get(runId);
  if (run === undefined) return { why: { accepted: false, status: null, pivoted: false } };
  const { status, pivoted } = run;
  const why = { accepted: false, status, pivoted } as const;
  if (!statuses.includes(status) || (body.kind === 'cancel' && pivoted)) return { why };
  if (body.kind === 'signal' && isFull(tx, tables, runId, body)) return { why: { ...why, full: true } };
  return { why: null, status };
}

/** Signals on their way, and those that the run keeps: as send_saga_mail counts them. */
function isFull(tx: OpenTx, tables: MemoryTables, runId: string, body: RunMessageBody): boolean {
  const waiting = [...tables.runMessagesOf(runId), ...tx.runMessages.filter((each) => each.runId === runId)];
  const sizes = waiting.filter((each) => each.body.kind === 'signal').map((each) => sizeOf(each.body));
  const kept = tables.runs.get(runId)?.signals ?? { count: 0, bytes: 0 };
  const bytes = sizes.reduce((sum, size) => sum + size, kept.bytes + sizeOf(body));
  return sizes.length + kept.count >= MOST_SIGNALS.count || bytes > MOST_SIGNALS.bytes;
}

/** As is_undecided in the database: a pivot is under way, or a child has done its work. */
function isUndecided(journal: readonly JournalRow[]): boolean {
  const state = emptyState();
  for (const row of journal) for (const event of row.events) apply(state, event, row.at);
  return state.held || state.open.some(({ pivot }) => pivot);
}

function sizeOf(body: RunMessageBody): number {
  return Buffer.byteLength(JSON.stringify(body));
}
