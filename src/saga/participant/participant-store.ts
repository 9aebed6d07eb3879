/**
 * The table `participant_call`: what a participant has done for a call of a run. A command, its resends and its compensation all write the
 * same primary key. So the one that comes second waits for the transaction of the first, and then sees its result.
 */
import { HoldfastError } from '../../errors.ts';
import { memberText } from '../../message/exact-json.ts';
import type { SqlExecutor } from '../../postgres/executor.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';

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

export interface ParticipantStore {
  /** Writes the row of a command that is about to be run; false when there is one. Waits for who is writing the same row. */
  claim(execute: SqlExecutor, id: CallId, command: StoredCommand): Promise<boolean>;
  /** What came of a claimed command. */
  settle(execute: SqlExecutor, id: CallId, state: 'done' | 'rejected', reply: Answer): Promise<void>;
  /** Writes the row of a compensation that found none; false when there is one by now. Waits as `claim` does. */
  insertWithoutCommand(execute: SqlExecutor, id: CallId, state: 'compensated' | 'tombstone'): Promise<boolean>;
  compensated(execute: SqlExecutor, id: CallId): Promise<void>;
  /** The row, locked; null when there is none. */
  lock(execute: SqlExecutor, id: CallId): Promise<CallRow | null>;
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
  const table = `${quoteIdentifier(schema)}.participant_call`;
  const own = 'participant = $1::text AND saga_id = $2::text::uuid AND call = $3::text';
  return {
    async claim(execute, { runId, call }, command) {
      const rows = await execute(
        `INSERT INTO ${table} (participant, saga_id, call, state, command)
         VALUES ($1::text, $2::text::uuid, $3::text, 'done', $4::text::jsonb)
         ON CONFLICT (participant, saga_id, call) DO NOTHING RETURNING 1 AS claimed`,
        [participant, runId, call, writeCommand(command)],
      );
      return rows.length > 0;
    },

    async settle(execute, { runId, call }, state, reply) {
      const rows = await execute(
        `UPDATE ${table} SET state = $4::text, reply = $5::text::jsonb WHERE ${own} RETURNING 1 AS settled`,
        [participant, runId, call, state, JSON.stringify(reply)],
      );
      if (rows.length === 0) throw gone(call);
    },

    async insertWithoutCommand(execute, { runId, call }, state) {
      const rows = await execute(
        `INSERT INTO ${table} (participant, saga_id, call, state) VALUES ($1::text, $2::text::uuid, $3::text, $4::text)
         ON CONFLICT (participant, saga_id, call) DO NOTHING RETURNING 1 AS buried`,
        [participant, runId, call, state],
      );
      return rows.length > 0;
    },

    async compensated(execute, { runId, call }) {
      // Its age counts from here: a compensation that comes again must still find it.
      const rows = await execute(
        `UPDATE ${table} SET state = 'compensated', at = clock_timestamp() WHERE ${own} RETURNING 1 AS compensated`,
        [participant, runId, call],
      );
      if (rows.length === 0) throw gone(call);
    },

    async lock(execute, { runId, call }) {
      const rows = await execute(
        `SELECT state, command::text AS command, reply::text AS reply FROM ${table} WHERE ${own} FOR UPDATE`,
        [participant, runId, call],
      );
      const row = rows[0] as { state: ParticipantCallState; command: string | null; reply: string | null } | undefined;
      if (row === undefined) return null;
      return {
        state: row.state,
        command: row.command === null ? null : readCommand(row.command),
        reply: row.reply === null ? null : (JSON.parse(row.reply) as Answer),
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

function writeCommand({ topic, version, text }: StoredCommand): string {
  return `{"topic":${JSON.stringify(topic)},"version":${version},"data":${text}}`;
}

function readCommand(row: string): StoredCommand {
  const { topic, version } = JSON.parse(row) as { readonly topic: string; readonly version: number };
  return { topic, version, text: memberText(row, 'data') ?? 'null' };
}

function gone(call: string): HoldfastError {
  return new HoldfastError(
    'HF_TRANSACTION_ABORTED',
    `The record of the call ${call} is gone within its own transaction.`,
    {
      advice: 'Leave COMMIT and ROLLBACK to Holdfast.',
    },
  );
}
