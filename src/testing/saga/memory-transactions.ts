/**
 * Transactions of clients on the in-memory store: what is started and sent in one is seen by nobody else before it commits. Two that
 * start the same key wait for each other, as on PostgreSQL.
 */
import { isDeepStrictEqual } from 'node:util';
import { HoldfastError } from '../../errors.ts';
import {
  MOST_SIGNALS,
  type ClientStore,
  type RunMessageBody,
  type StartedRun,
  type StartRequest,
} from '../../saga/store/store.ts';
import type { JournalRow } from '../../saga/journal/events.ts';
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

interface OpenTx extends MemoryTx {
  open: boolean;
  readonly starts: { readonly request: StartRequest; readonly at: number }[];
  readonly runMessages: { readonly runId: string; readonly at: number; readonly body: RunMessageBody }[];
  readonly ended: Promise<void>;
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

  function begin(): OpenTx {
    let end = (): void => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const close = (): boolean => {
      const wasOpen = tx.open;
      tx.open = false;
      open.delete(tx);
      end();
      return wasOpen;
    };
    const tx: OpenTx = {
      open: true,
      starts: [],
      runMessages: [],
      ended,
      commit() {
        if (!close() || (tx.starts.length === 0 && tx.runMessages.length === 0)) return;
        tables.atomically((write) => {
          for (const { request, at } of tx.starts) write.start(request, at);
          for (const { runId, at, body } of tx.runMessages) write.postRunMessage(runId, body, at);
        });
        changed();
      },
      rollback: () => void close(),
    };
    open.add(tx);
    return tx;
  }

  /** In the caller's transaction, or in one of its own. */
  async function within<T>(tx: MemoryTx | null, fn: (tx: OpenTx) => T | Promise<T>): Promise<T> {
    if (tx !== null) {
      const given = tx as OpenTx;
      if (given.open && open.has(given)) return fn(given);
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

  async function startOne(tx: OpenTx, request: StartRequest): Promise<StartedRun> {
    const { key, saga } = request;
    const same = ({ request: other }: OpenTx['starts'][number]): boolean => other.saga === saga && other.key === key;
    if (key !== null) {
      for (;;) {
        const holder = [...open].find((each) => each !== tx && each.starts.some(same));
        if (holder === undefined) break;
        await holder.ended;
      }
      const there = tables.runWithKey(saga, key) ?? tx.starts.find(same)?.request.id;
      if (there !== undefined) return already(tx, request, there);
    }
    const twin = tables.runs.get(request.id) ?? tx.starts.find((other) => other.request.id === request.id)?.request;
    if (twin !== undefined) {
      if (twin.saga === saga && twin.key === key) return already(tx, request, request.id);
      throw new Error(`The id ${request.id} belongs to another run.`);
    }
    tx.starts.push({ request: { ...request }, at: now() });
    return { id: request.id, created: true };
  }

  /** A run that is there, perhaps with another input. */
  function already(tx: OpenTx, request: StartRequest, id: string): StartedRun {
    const own = tx.starts.find((each) => each.request.id === id)?.request.input;
    const [first] = tables.journalOf(id)[0]?.events ?? [];
    const input: unknown = own === undefined ? first?.t === 'started' && first.input : JSON.parse(own);
    return { id, created: false, ...(isDeepStrictEqual(input, JSON.parse(request.input)) ? {} : { otherInput: true }) };
  }

  /** Signals on their way, and those that the run keeps: as send_saga_mail counts them. */
  function isFull(tx: OpenTx, runId: string, body: RunMessageBody): boolean {
    const waiting = [...tables.runMessagesOf(runId), ...tx.runMessages.filter((each) => each.runId === runId)];
    const sizes = waiting.filter((each) => each.body.kind === 'signal').map((each) => sizeOf(each.body));
    const kept = tables.runs.get(runId)?.signals ?? { count: 0, bytes: 0 };
    const bytes = sizes.reduce((sum, size) => sum + size, kept.bytes + sizeOf(body));
    return sizes.length + kept.count >= MOST_SIGNALS.count || bytes > MOST_SIGNALS.bytes;
  }

  return {
    begin,
    start: (tx, requests) =>
      within(tx, async (inside) => {
        const started: StartedRun[] = [];
        for (const request of requests) started.push(await startOne(inside, request));
        return started;
      }),
    postRunMessage: (tx, runId, body, statuses) =>
      within(tx, (inside) => {
        const fresh = inside.starts.some(({ request }) => request.id === runId);
        const run = fresh ? { status: 'pending' as const, pivoted: false } : tables.runs.get(runId);
        if (run === undefined) return { accepted: false, status: null, pivoted: false };
        const { status, pivoted } = run;
        if (!statuses.includes(status) || (body.kind === 'cancel' && pivoted))
          return { accepted: false, status, pivoted };
        if (body.kind === 'signal' && isFull(inside, runId, body))
          return { accepted: false, status, pivoted, full: true };
        inside.runMessages.push({ runId, at: now(), body: JSON.parse(JSON.stringify(body)) as RunMessageBody });
        const undecided = body.kind === 'cancel' && (tx !== null || isUndecided(tables.journalOf(runId)));
        return { accepted: true, status, ...(undecided ? { undecided } : {}) };
      }),
  };
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
