/**
 * How a batch begins: the marks of all its messages in the text that opens the transaction, their records where handlers keep some, and what
 * was found.
 */
import type { Recording } from '../handlers/recording.ts';
import type { HandlerContext } from '../handlers/handler.ts';
import type { Statement, StatementResult } from '../handlers/unit-of-work.ts';
import { inLockOrder, inMarkOrder } from './batch-choice.ts';
import type { ConsumerContext } from './consumer-context.ts';
import { orderedArrival, type DeliveryAttempt } from './entry.ts';

/**
 * alone: something of its key is parked or at work, or its predecessor is not handled; that is decided where the message goes alone.
 */
export type EntryState = 'enter' | 'duplicate' | 'alone';

export interface MemberEntry {
  readonly found: EntryState;
  /** Whether this transaction has written its mark. */
  readonly marked: boolean;
  /** What was found of its record; null: it has none. */
  readonly record: object | null;
}

export interface BatchEntry {
  readonly statements: readonly Statement[];
  /** Of each message, in their order. */
  read(results: readonly StatementResult[]): readonly MemberEntry[];
}

/** A message of a batch, decoded. */
export interface EnteringMember<Tx> {
  readonly attempt: DeliveryAttempt<Tx>;
  readonly payload: unknown;
}

type Reader = (results: readonly StatementResult[]) => MemberEntry;

const DUPLICATE: MemberEntry = { found: 'duplicate', marked: false, record: null };

/** @param members in the order in which locks are to be taken */
export function enterBatch<Tx>(context: ConsumerContext<Tx>, members: readonly EnteringMember<Tx>[]): BatchEntry {
  const statements: Statement[] = [];
  const readers = new Map<EnteringMember<Tx>, Reader>();
  const recorded = new Map<Recording<HandlerContext<Tx>>, EnteringMember<Tx>[]>();
  const plain: EnteringMember<Tx>[] = [];
  for (const member of members) {
    const { incoming, handler } = member.attempt;
    if (handler.recording !== null) {
      const others = recorded.get(handler.recording);
      if (others === undefined) recorded.set(handler.recording, [member]);
      else others.push(member);
    } else if (!context.ordered || incoming.key === null) plain.push(member);
    else {
      const at = statements.length;
      statements.push(...context.inbox.orderedMarkStatements(orderedArrival(context, member.attempt, incoming.key)));
      readers.set(member, (results) => {
        const marked = (results[at + 1]?.count ?? 0) > 0;
        const locked = results[at]?.rows[0]?.['locked'] === 'true';
        return { found: locked && marked ? 'enter' : 'alone', marked, record: null };
      });
    }
  }
  if (plain.length > 0) {
    const at = statements.length;
    statements.push(context.inbox.markAllStatement(inMarkOrder(plain.map(({ attempt }) => attempt.incoming.id))));
    let written: ReadonlySet<unknown> | null = null;
    for (const member of plain) {
      readers.set(member, (results) => {
        written ??= new Set(results[at]?.rows.map((row) => row['id']));
        return written.has(member.attempt.incoming.id) ? { found: 'enter', marked: true, record: null } : DUPLICATE;
      });
    }
  }
  for (const [recording, group] of recorded) openRecords(recording, group, { statements, readers });
  return {
    statements,
    read: (results) => members.map((member) => readers.get(member)?.(results) ?? DUPLICATE),
  };
}

/** Marks and records in one statement, in an order that is the same in every process. */
function openRecords<Tx>(
  recording: Recording<HandlerContext<Tx>>,
  group: readonly EnteringMember<Tx>[],
  { statements, readers }: { readonly statements: Statement[]; readonly readers: Map<EnteringMember<Tx>, Reader> },
): void {
  const sorted = inLockOrder(
    group.map((member) => {
      const { envelope } = member.attempt.incoming;
      return { key: recording.apartBy(envelope) ?? envelope.id, member };
    }),
  );
  const at = statements.length;
  const messages = sorted.map(({ member: { attempt, payload } }) => ({ envelope: attempt.incoming.envelope, payload }));
  statements.push(recording.openStatement(messages, false));
  let opened: readonly (object | null)[] | null = null;
  for (const [index, { member }] of sorted.entries()) {
    readers.set(member, (results) => {
      opened ??= results[at] === undefined ? [] : recording.readOpened(results[at]);
      const record = opened[index] ?? null;
      return record === null ? DUPLICATE : { found: 'enter', marked: true, record };
    });
  }
}
