/**
 * The store of clients on PostgreSQL: starting runs and sending mail in the caller's transaction, in any client or ORM, and reading.
 * The duties stand in store.ts.
 */
import { notAtHome } from '../postgres/at-home.ts';
import type { Database } from '../postgres/database.ts';
import { openTransaction, type TransactionHandle } from '../postgres/executor.ts';
import { callInTransaction, transactionalCall, type TransactionalCall } from '../postgres/in-transaction.ts';
import { quoteIdentifier } from '../postgres/quoting.ts';
import { classifySqlError, translateSqlError } from '../postgres/sql-state.ts';
import type { JournalRow, RunStatus, UndoReason } from './events.ts';
import type { ClientStore, MailAnswer, RunView, StartRequest } from './store.ts';

interface ViewRow {
  readonly id: string;
  readonly saga: string;
  readonly version: number;
  readonly key: string | null;
  readonly status: RunStatus;
  readonly reason: UndoReason | null;
  readonly pivoted: boolean;
  readonly result: unknown;
  readonly error: unknown;
  readonly started_at: number;
  readonly finished_at: number | null;
  readonly growth: number;
}

const ms = (column: string): string => `round(extract(epoch FROM ${column}) * 1000)::float8`;

export function createPostgresClientStore({
  database,
}: {
  readonly database: Database;
}): ClientStore<TransactionHandle> {
  const s = quoteIdentifier(database.schema);
  const startRuns = transactionalCall(database.schema, 'start_runs', ['text'], '::text');
  const sendMail = transactionalCall(database.schema, 'send_saga_mail', ['uuid', 'text', 'text', 'text[]'], '::text');

  async function ask(
    tx: TransactionHandle | null,
    call: TransactionalCall,
    parameters: readonly string[],
  ): Promise<unknown> {
    if (tx !== null) return JSON.parse(String(await callInTransaction(openTransaction(tx), call, parameters)));
    try {
      const { shown } = call.atHome ? call : call.guarded;
      const { rows } = await database.query<{ answer: string }>(shown, parameters);
      call.atHome = true;
      return JSON.parse(rows[0]?.answer ?? 'null');
    } catch (error) {
      throw notAtHome(error, call.schema) ?? translateSqlError(error);
    }
  }

  return {
    async start(tx, requests) {
      if (requests.length === 0) return [];
      const parameters = [`[${requests.map(requestText).join(',')}]`];
      const started = (await ask(tx, startRuns, parameters).catch((error: unknown) => {
        // Nothing or all of it has happened, and the second time finds the runs by their ids.
        if (tx === null && classifySqlError(error) === 'connection') return ask(tx, startRuns, parameters);
        throw error;
      })) as readonly { readonly id: string; readonly created: boolean }[];
      return started.map(({ id, created }) => ({ id, created }));
    },

    async mail(tx, runId, body, statuses) {
      const answer = await ask(tx, sendMail, [runId, body.kind, JSON.stringify(body), `{${statuses.join(',')}}`]);
      const { accepted, status, pivoted, full } = answer as {
        readonly accepted: boolean;
        readonly status: RunStatus | null;
        readonly pivoted: boolean;
        readonly full?: boolean;
      };
      if (accepted) return { accepted, status } as MailAnswer;
      return { accepted, status, pivoted, ...(full === true ? { full } : {}) };
    },

    async read(ids) {
      const { rows } = await database
        .query<ViewRow>(
          `SELECT r.id, r.saga, r.version, r.key, r.status, r.reason, r.pivoted, r.result, r.error, coalesce(r.growth, 0) AS growth,
             ${ms('r.started_at')} AS started_at, ${ms('r.finished_at')} AS finished_at
           FROM unnest($1::uuid[]) WITH ORDINALITY AS i (id, place) JOIN ${s}.saga_run r ON r.id = i.id ORDER BY i.place`,
          [ids],
        )
        .catch((error: unknown) => {
          throw translateSqlError(error);
        });
      return rows.map(({ started_at, finished_at, ...row }): RunView => ({
        ...row,
        startedAt: started_at,
        finishedAt: finished_at,
      }));
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

function requestText({ id, saga, version, key, input, deadlineMs }: StartRequest): string {
  const fields = JSON.stringify({ id, saga, version, key, deadline_ms: deadlineMs });
  return `${fields.slice(0, -1)},"input":${input}}`;
}
