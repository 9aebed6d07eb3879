/**
 * Notices that are still to be told. The table has those that all processes share (alert-store.ts); what only this process knows, such as
 * that the database is silent, waits in its memory.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { AlertNotice } from './alert.ts';

export interface ClaimedNotice {
  readonly notice: AlertNotice;
  /** That have failed. */
  readonly attempts: number;
  /** Since it was decided. */
  readonly ageMs: number;
}

export interface NoticeQueue {
  /** Those that are due, for this process alone for as long as said; whoever has not come to an end by then tells them again. */
  claim(limit: number, holdMs: number): Promise<readonly ClaimedNotice[]>;
  /** Told, or given up. */
  done(id: string): Promise<void>;
  /** An attempt has failed. */
  later(id: string, delayMs: number): Promise<void>;
}

export interface MemoryNotices extends NoticeQueue {
  /** Takes the place of one about the same kind and subject that waits. */
  add(notice: AlertNotice): void;
}

interface Waiting {
  readonly notice: AlertNotice;
  readonly madeAtMs: number;
  attempts: number;
  dueAtMs: number;
}

/** They end with the process, which has then no more to say. One process tells one at a time, so nothing is claimed twice. */
export function createMemoryNotices(clock: Clock): MemoryNotices {
  const waiting = new Map<string, Waiting>();
  const find = (id: string): [string, Waiting] | undefined => [...waiting].find(([, { notice }]) => notice.id === id);
  return {
    add(notice) {
      const nowMs = clock.monotonic();
      waiting.set(`${notice.kind}\n${notice.subject}`, { notice, madeAtMs: nowMs, attempts: 0, dueAtMs: nowMs });
    },
    async claim(limit) {
      const nowMs = clock.monotonic();
      return [...waiting.values()]
        .filter(({ dueAtMs }) => dueAtMs <= nowMs)
        .slice(0, limit)
        .map(({ notice, attempts, madeAtMs }) => ({ notice, attempts, ageMs: nowMs - madeAtMs }));
    },
    async done(id) {
      const found = find(id);
      if (found !== undefined) waiting.delete(found[0]);
    },
    async later(id, delayMs) {
      const [, entry] = find(id) ?? [];
      if (entry === undefined) return;
      entry.attempts += 1;
      entry.dueAtMs = clock.monotonic() + delayMs;
    },
  };
}
