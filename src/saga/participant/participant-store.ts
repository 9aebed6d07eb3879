/**
 * The table `participant_call`: what a participant has done for a call of a run. A command, its resends and its compensation all write the
 * same primary key. So the one that comes second waits for the transaction of the first, and then sees its result.
 */
import { HoldfastError } from '../../errors.ts';
import { memberText } from '../../message/exact-json.ts';
import { messageText, type PreparedMessage } from '../../outbox/prepare.ts';
import type { Statement, StatementResult } from '../../inbox/handlers/unit-of-work.ts';
import { atHomeSql } from '../../postgres/at-home.ts';
import type { SqlExecutor } from '../../postgres/executor.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { sqlStateOf } from '../../postgres/sql-state.ts';

/**
 * - done: the command had its effect
 * - rejected: it had none, for good
 * - compensated: it had one, which was compensated
 * - tombstone: its compensation came first, so that it is refused when it comes
 */
export type ParticipantCallState = 'done' | 'rejected' | 'compensated' | 'tombstone';

export interface CallId {
  readonly runId: string;
  readonly call: string;
}

export interface StoredCommand {
  readonly topic: string;
  readonly version: number;
  /** The payload as it came, as JSON text: parsed, its numbers may be others. */
  readonly text: string;
}

/** The part of a reply that is the answer. */
export type Answer =
  | { readonly outcome: 'done'; readonly output?: unknown; readonly outputVersion?: number }
  | {
      readonly outcome: 'rejected';
      readonly error: {
        readonly name: string;
        readonly message: string;
        readonly code?: string | undefined;
        readonly details?: Record<string, unknown> | undefined;
      };
    };

export interface CallRow {
  readonly state: ParticipantCallState;
  /** Null for what no command was seen of. */
  readonly command: StoredCommand | null;
  readonly reply: Answer | null;
}

/** A message that is entered: its mark, and the record of its call. */
export interface EnteringCall {
  readonly messageId: string;
  /** Null with the role. */
  readonly runId: string | null;
  readonly call: string | null;
  /** null: there is no call to record, so only the mark is written. */
  readonly role: 'command' | 'compensation' | null;
  /** Of a command. */
  readonly command: StoredCommand | null;
  /** Of a compensation: what is written when there is no row; null: nothing. */
  readonly withoutRow: 'compensated' | 'tombstone' | null;
}

/**
 * - new: a row was written, in this state (null: without a call, so none)
 * - known: there was one, which is locked now
 * - none: there is none, and none was written
 */
export type EnteredCall =
  | { readonly finding: 'new'; readonly state: ParticipantCallState | null }
  | { readonly finding: 'known'; readonly row: CallRow }
  | { readonly finding: 'none' };

/** What a message leaves behind: how its record changes (null: not at all), and its reply (null: written otherwise). */
export interface ClosingCall extends CallId {
  readonly change:
    | { readonly state: 'done' | 'rejected'; readonly answer: Answer }
    /** withdrawn: the row that this transaction has written is deleted. */
    | { readonly state: 'compensated' | 'withdrawn' }
    | null;
  readonly reply: PreparedMessage | null;
}

export interface ParticipantStore {
  /**
   * Marks messages and writes, or locks, the rows of their calls, each of another call. Waits for who is writing the same row.
   * @param marked their marks are written by other statements of the transaction
   */
  enter(calls: readonly EnteringCall[], marked: boolean): Statement;
  /** In the order of the calls; null for a duplicate. */
  readEntered(result: StatementResult): readonly (EnteredCall | null)[];
  end(calls: readonly ClosingCall[]): Statement;
  /**
   * Deletes up to `limit` rows older than `olderThanMs`: those without an effect (`rejected`, `tombstone`), or those with one.
   * Resolves with how many.
   */
  prune(execute: SqlExecutor, kind: 'effect' | 'no effect', olderThanMs: number, limit: number): Promise<number>;
}

/** As the indexes of the table have them, see the migration. */
const PRUNED: Readonly<Record<'effect' | 'no effect', string>> = {
  effect: "state IN ('done', 'compensated')",
  'no effect': "state IN ('rejected', 'tombstone')",
};

export function createParticipantStore(schema: string, participant: string): ParticipantStore {
  const s = quoteIdentifier(schema);
  const table = `${s}.participant_call`;
  const statements = statementsFor(schema);
  /** Whether the functions were seen to write into tables of their own schema. */
  let atHome = false;
  return {
    enter(calls, marked) {
      const { one, many } = atHome ? statements.enter : statements.enterGuarded;
      const [first] = calls;
      if (first === undefined || calls.length > 1) {
        const list = `[${calls.map(enteringText).join(',')}]`;
        return { sql: many, parameters: [participant, list, String(marked), null], limitsIdle: true };
      }
      const { messageId, role, runId, call, command, withoutRow } = first;
      const record = [runId, call, command === null ? null : writeCommand(command), withoutRow];
      return {
        sql: one,
        parameters: [participant, marked ? null : messageId, role, ...record, null],
        limitsIdle: true,
      };
    },

    readEntered({ rows }) {
      atHome = true;
      return (rows as unknown as readonly EnteredRow[]).map(readEnteredRow);
    },

    end(calls) {
      const [first] = calls;
      if (first === undefined || calls.length > 1) {
        const replies = calls.flatMap(({ reply }) => (reply === null ? [] : [messageText(reply)]));
        const list = `[${calls.map(closingText).join(',')}]`;
        return {
          sql: statements.endMany,
          parameters: [participant, list, replies.length === 0 ? null : `[${replies.join(',')}]`],
        };
      }
      const { runId, call, change, reply } = first;
      const message =
        reply === null
          ? [null, null, null, null, null, null]
          : [reply.id, reply.topic, reply.key, String(reply.lane), reply.payload, reply.attributes];
      return {
        sql: statements.endOne,
        parameters: [participant, runId, call, change?.state ?? null, answerText(change), ...message],
      };
    },

    async prune(execute, kind, olderThanMs, limit) {
      const rows = await execute(
        `WITH old AS (
           SELECT ctid FROM ${table}
           WHERE participant = $1::text AND ${PRUNED[kind]} AND at < now() - $2::float8 * interval '1 millisecond'
           LIMIT $3::int FOR UPDATE SKIP LOCKED),
         gone AS (DELETE FROM ${table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM old)) RETURNING 1)
         SELECT count(*)::text AS pruned FROM gone`,
        [participant, olderThanMs, limit],
      );
      return Number(rows[0]?.['pruned']);
    },
  };
}

interface StatementsOfStore {
  readonly enter: { readonly one: string; readonly many: string };
  /** The same; they fail when the functions write into another schema. */
  readonly enterGuarded: { readonly one: string; readonly many: string };
  readonly endOne: string;
  readonly endMany: string;
}

/** Parameters are texts, cast in the statement: drivers and ORMs differ in what they make of anything else. */
function statementsFor(schema: string): StatementsOfStore {
  const s = quoteIdentifier(schema);
  const columns = 'SELECT finding, state, command, reply FROM';
  const entering = (name: string): StatementsOfStore['enter'] => ({
    one: `${columns} ${s}.enter_call(${name}, $2::text::uuid, $3::text, $4::text::uuid, $5::text, $6::text::jsonb, $7::text, $8::text)`,
    many: `${columns} ${s}.enter_calls(${name}, $2::text, $3::text::boolean, $4::text)`,
  });
  return {
    enter: entering('$1::text'),
    enterGuarded: entering(`CASE WHEN ${atHomeSql(schema)} THEN $1::text END`),
    endOne: `SELECT ${s}.end_call($1::text, $2::text::uuid, $3::text, $4::text, $5::text::jsonb,
      $6::text::uuid, $7::text, $8::text, $9::text::smallint, $10::text::jsonb, $11::text::jsonb)::text AS ended`,
    endMany: `SELECT ${s}.end_calls($1::text, $2::text, $3::text)::text AS ended`,
  };
}

interface EnteredRow {
  readonly finding: 'duplicate' | 'new' | 'known' | 'none';
  readonly state: ParticipantCallState | null;
  readonly command: string | null;
  readonly reply: string | null;
}

function readEnteredRow({ finding, state, command, reply }: EnteredRow): EnteredCall | null {
  switch (finding) {
    case 'duplicate':
      return null;
    case 'none':
      return { finding };
    case 'new':
      return { finding, state };
    case 'known':
      return {
        finding,
        row: {
          state: state as ParticipantCallState,
          command: command === null ? null : readCommand(command),
          reply: reply === null ? null : (JSON.parse(reply) as Answer),
        },
      };
  }
}

function enteringText({ messageId, role, runId, call, command, withoutRow }: EnteringCall): string {
  const fields = JSON.stringify({ message: messageId, role, run: runId, call, without: withoutRow });
  return command === null ? fields : `${fields.slice(0, -1)},"payload":${writeCommand(command)}}`;
}

function closingText({ runId, call, change }: ClosingCall): string {
  const fields = JSON.stringify({ run: runId, call, state: change?.state ?? null });
  const answer = answerText(change);
  return answer === null ? fields : `${fields.slice(0, -1)},"answer":${answer}}`;
}

function answerText(change: ClosingCall['change']): string | null {
  return change !== null && 'answer' in change ? JSON.stringify(change.answer) : null;
}

function writeCommand({ topic, version, text }: StoredCommand): string {
  return `{"topic":${JSON.stringify(topic)},"version":${version},"data":${text}}`;
}

function readCommand(row: string): StoredCommand {
  const { topic, version } = JSON.parse(row) as { readonly topic: string; readonly version: number };
  return { topic, version, text: memberText(row, 'data') ?? 'null' };
}

/** Undefined: it is not that the record is gone that this transaction has written or locked. */
export function explainGone(cause: unknown, call: string): HoldfastError | undefined {
  if (sqlStateOf(cause) !== 'HF005') return undefined;
  return new HoldfastError(
    'HF_TRANSACTION_ABORTED',
    `The record of the call ${call} is gone within its own transaction.`,
    { cause, advice: 'Leave COMMIT and ROLLBACK to Holdfast.' },
  );
}
