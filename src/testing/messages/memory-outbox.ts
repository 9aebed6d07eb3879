/**
 * An outbox in memory: checks what the real one checks, and has a message travel if, and only if, its transaction commits.
 */
import { HoldfastError } from '../../errors.ts';
import type { Outbox, OutboxItem, SentMessage } from '../../outbox/outbox.ts';
import { DEFAULT_MAX_BYTES, prepareMessage, type PreparedMessage } from '../../outbox/prepare.ts';
import type { Due } from '../../outbox/send-options.ts';
import type { MemoryDatabase, MemoryWork } from './memory-work.ts';

/** A message whose transaction has committed. */
export interface CommittedMessage {
  readonly id: string;
  readonly topic: string;
  readonly key: string | null;
  /** JSON texts. */
  readonly payload: string;
  readonly attributes: string;
  /** When it was written, and when it is to leave if that is later; in milliseconds since the epoch. */
  readonly at: number;
  readonly dueAt: number | null;
}

/** @param onCommitted told of each message within the commit, in the order in which they were sent */
export function createMemoryOutbox(database: MemoryDatabase, onCommitted: (message: CommittedMessage) => void): Outbox {
  /** Of messages that are committed, or sent in a transaction that is open. */
  const ids = new Map<string, MemoryWork | null>();

  function write(work: MemoryWork, prepared: readonly PreparedMessage[]): readonly SentMessage[] {
    const batch = new Set<string>();
    for (const { id } of prepared) {
      const holder = ids.get(id);
      if (batch.has(id) || holder === null || holder === work) throw duplicate(id);
      batch.add(id);
    }
    for (const { id, topic, key, payload, attributes, due } of prepared) {
      ids.set(id, work);
      work.onRollback(() => ids.delete(id));
      const at = database.now();
      work.onCommit(() => {
        ids.set(id, null);
        onCommitted({ id, topic, key, payload, attributes, at, dueAt: dueTime(due, at) });
      });
    }
    return prepared.map(({ id }) => ({ id }));
  }

  const prepare = ({ type, payload, options }: OutboxItem, where: string): Promise<PreparedMessage> =>
    prepareMessage({ type, payload, options }, { source: undefined, maxBytes: DEFAULT_MAX_BYTES, where });

  return {
    async send(tx, type, payload, options) {
      const work = database.workOf(tx);
      const [sent] = write(work, [await prepare({ type, payload, options }, 'outbox.send')]);
      return sent as SentMessage;
    },
    async sendAll(tx, items) {
      const work = database.workOf(tx);
      if (!Array.isArray(items))
        throw new HoldfastError('HF_CONFIG', 'outbox.sendAll: items is no array.', {
          advice: 'Pass [item(type, payload), …].',
        });
      const prepared: PreparedMessage[] = [];
      for (const [index, each] of items.entries())
        prepared.push(await prepare(each as OutboxItem, `outbox.sendAll, item ${index}`));
      return write(work, prepared);
    },
  };
}

function dueTime(due: Due | undefined, at: number): number | null {
  if (due === undefined) return null;
  return 'delay_ms' in due ? at + due.delay_ms : Date.parse(due.due_at);
}

function duplicate(id: string): HoldfastError {
  return new HoldfastError('HF_MESSAGE_DUPLICATE', `A message with the id ${id} was sent already.`, {
    advice: 'Leave out `id` for a new message.',
  });
}
