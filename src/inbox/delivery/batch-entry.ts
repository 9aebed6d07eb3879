/**
 * How a batch begins: the marks of all its messages in the text that opens the transaction, and what was found.
 */
import type { Statement, StatementResult } from '../handlers/unit-of-work.ts';
import { orderedArrival, type DeliveryAttempt } from './attempt.ts';
import { inMarkOrder } from './batch-choice.ts';
import type { ConsumerContext } from './consumer-context.ts';

/**
 * alone: something of its key is parked or at work, or its predecessor is not handled; that is decided where the message goes alone.
 */
export type Found = 'enter' | 'duplicate' | 'alone';

export interface MemberEntry {
  readonly found: Found;
  /** Whether this transaction has written its mark. */
  readonly marked: boolean;
}

export interface BatchEntry {
  readonly statements: readonly Statement[];
  /** Of each message, in their order. */
  read(results: readonly StatementResult[]): readonly MemberEntry[];
}

/** @param attempts in the order in which locks are to be taken */
export function enterBatch<Tx>(context: ConsumerContext<Tx>, attempts: readonly DeliveryAttempt<Tx>[]): BatchEntry {
  const statements: Statement[] = [];
  const readers: ((results: readonly StatementResult[], written: ReadonlySet<unknown>) => MemberEntry)[] = [];
  const unlocked: string[] = [];
  for (const attempt of attempts) {
    const { id, key } = attempt.incoming;
    if (!context.ordered || key === null) {
      unlocked.push(id);
      readers.push((_results, written) => {
        const marked = written.has(id);
        return { found: marked ? 'enter' : 'duplicate', marked };
      });
      continue;
    }
    const at = statements.length;
    statements.push(...context.inbox.orderedMarkStatements(orderedArrival(context, attempt, key)));
    readers.push((results) => {
      const marked = (results[at + 1]?.count ?? 0) > 0;
      const locked = results[at]?.rows[0]?.['locked'] === 'true';
      return { found: locked && marked ? 'enter' : 'alone', marked };
    });
  }
  const last = statements.length;
  if (unlocked.length > 0) statements.push(context.inbox.markAllStatement(inMarkOrder(unlocked)));
  return {
    statements,
    read(results) {
      const written = new Set(unlocked.length === 0 ? [] : results[last]?.rows.map((row) => row['id']));
      return readers.map((read) => read(results, written));
    },
  };
}
