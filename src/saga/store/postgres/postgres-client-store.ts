/**
 * The store of clients on PostgreSQL: starting runs and sending run messages in the caller's transaction, in any client or ORM, and reading.
 * The duties stand in store.ts.
 */
import { notAtHome } from '../../../postgres/at-home.ts';
import type { Database } from '../../../postgres/database.ts';
import { openTransaction, type TransactionHandle } from '../../../postgres/executor.ts';
import { callInTransaction, transactionalCall, type TransactionalCall } from '../../../postgres/in-transaction.ts';
import { quoteIdentifier } from '../../../postgres/quoting.ts';
import { classifySqlError, translateSqlError } from '../../../postgres/sql-state.ts';
import { skippedOf } from '../../journal/end-error.ts';
import { recordTrace } from '../../journal/run-trace.ts';
import type { JournalRow, RunStatus } from '../../journal/events.ts';
import type { ClientStore, PostAnswer, RunView, StartedRun, StartRequest } from '../store.ts';

const ms = (column: string): string => `round(extract(epoch FROM ${column}) * 1000)::float8`;

export function createPostgresClientStore({
  database,
}: {
  readonly database: Database;
}): ClientStore<TransactionHandle> {
  const s = quoteIdentifier(database.schema);
  const startRuns = transactionalCall(database.schema, 'start_runs', ['text'], { result: '::text' });
  const runMessageCall = (name: string, asksAlways = false): TransactionalCall =>
    transactionalCall(database.schema, name, ['uuid', 'text', 'text', 'text[]'], { result: '::text', asksAlways });
  // The door that every client may use; the other is for roles that own the tables.
  const [postRunMessage, sendRunMessage] = [runMessageCall('post_saga_mail'), runMessageCall('send_saga_mail')];
  // At once it holds the run's row until it is stored; in the caller's transaction, which may last, it must not.
  const cancelMessage = runMessageCall('post_saga_mail', true);

  async function ask(
    tx: TransactionHandle | null,
    call: TransactionalCall,
    parameters: readonly string[],
  ): Promise<unknown> {
    if (tx !== null) return JSON.parse(String(await callInTransaction(openTransaction(tx), call, parameters)));
    const { shown } = call.atHome ? call : call.guarded;
    const answer = await answerOf(shown, parameters);
    call.atHome = true;
    return JSON.parse(answer ?? 'null');
  }

  async function answerOf(sql: string, parameters: readonly unknown[]): Promise<string | null> {
    try {
      const { rows } = await database.query<{ answer: string | null }>(sql, parameters);
      return rows[0]?.answer ?? null;
    } catch (error) {
      throw notAtHome(error, database.schema) ?? translateSqlError(error);
    }
  }

  return {
    async start(tx, requests) {
      if (requests.length === 0) return [];
      const parameters = [`[${requests.map(requestText).join(',')}]`];
      const started = await ask(tx, startRuns, parameters).catch((error: unknown) => {
        // Nothing or all of it has happened, and the second time finds the runs by their ids.
        if (tx === null && classifySqlError(error) === 'connection') return ask(tx, startRuns, parameters);
        throw error;
      });
      return (started as readonly StartedAnswer[]).map(startedRun);
    },

    async postRunMessage(tx, runId, body, statuses) {
      const call = body.kind === 'signal' ? postRunMessage : body.kind === 'cancel' ? cancelMessage : sendRunMessage;
      const answer = await ask(tx, call, [runId, body.kind, JSON.stringify(body), `{${statuses.join(',')}}`]);
      return postAnswer(answer as PostedAnswer);
    },

    async read(ids) {
      const answer = await answerOf(`SELECT ${s}.read_runs($1::uuid[]) AS answer`, [ids]);
      const runs = JSON.parse(answer ?? '[]') as readonly Omit<RunView, 'skipped'>[];
      return runs.map((run) => ({ ...run, skipped: skippedOf(run.error) }));
    },

    async find(saga, key) {
      return answerOf(`SELECT ${s}.find_run($1, $2)::text AS answer`, [saga, key]);
    },

    async journal(id) {
      const { rows } = await database
        .query<JournalRow & Record<string, unknown>>(
          `SELECT n, ${ms('at')} AS at, events FROM ${s}.saga_journal WHERE saga_id = $1 ORDER BY n`,
          [id],
        )
        .catch((error: unknown) => {
          throw translateSqlError(error);
        });
      return rows.map(({ n, at, events }) => ({ n, at, events }));
    },
  };
}

/** What start_runs says of each. */
type StartedAnswer = StartedRun & { readonly other_input?: boolean };

function startedRun({ id, created, other_input: other, limit }: StartedAnswer): StartedRun {
  return {
    id,
    created,
    ...(typeof limit === 'number' ? { limit } : {}),
    ...(other === true ? { otherInput: true } : {}),
  };
}

/** What the functions say that post run messages. */
interface PostedAnswer {
  readonly accepted: boolean;
  readonly status: RunStatus | null;
  readonly pivoted: boolean;
  readonly full?: boolean;
  readonly limit?: number | null;
  readonly undecided?: boolean;
}

function postAnswer({ accepted, status, pivoted, full, limit, undecided }: PostedAnswer): PostAnswer {
  if (accepted) return { accepted, status, ...(undecided === true ? { undecided } : {}) } as PostAnswer;
  return {
    accepted,
    status,
    pivoted,
    ...(full === true ? { full } : {}),
    ...(typeof limit === 'number' ? { limit } : {}),
  };
}

function requestText({ id, saga, version, key, input, deadlineMs, trace }: StartRequest): string {
  const traced = trace === undefined ? {} : { trace: recordTrace(trace) };
  const fields = JSON.stringify({ id, saga, version, key, deadline_ms: deadlineMs, ...traced });
  return `${fields.slice(0, -1)},"input":${input}}`;
}
