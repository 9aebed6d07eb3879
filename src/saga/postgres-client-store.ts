/**
 * The store of clients on PostgreSQL: starting runs and sending mail in the caller's transaction, in any client or ORM, and reading.
 * The duties stand in store.ts.
 */
import { HoldfastError } from '../errors.ts';
import type { Database } from '../postgres/database.ts';
import { openTransaction, type TransactionHandle } from '../postgres/executor.ts';
import { quoteIdentifier } from '../postgres/quoting.ts';
import { classifySqlError, sqlStateOf, translateSqlError } from '../postgres/sql-state.ts';
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
}

const ms = (column: string): string => `round(extract(epoch FROM ${column}) * 1000)::float8`;

export function createPostgresClientStore({
  database,
}: {
  readonly database: Database;
}): ClientStore<TransactionHandle> {
  const s = quoteIdentifier(database.schema);
  // Every parameter is a text that is cast in the statement, and the answer a text: drivers and ORMs differ in all else.
  const startSql = `SELECT ${s}.start_runs($1::text, $2::text::boolean)::text AS answer`;
  const mailSql = `SELECT ${s}.send_saga_mail($1::text::uuid, $2::text, $3::text, $4::text::text[], $5::text::boolean)::text AS answer`;

  /** As the outbox does it: asked in a way that tells whether there is a transaction, where the handle itself does not show it. */
  async function ask(tx: TransactionHandle | null, sql: string, parameters: readonly string[]): Promise<unknown> {
    try {
      if (tx === null) {
        const { rows } = await database.query<{ answer: string }>(sql, [...parameters, 'false']);
        return JSON.parse(rows[0]?.answer ?? 'null');
      }
      const transaction = openTransaction(tx);
      const shown = transaction.showsTransaction();
      for (let call = 1; call <= 2; call++) {
        const [row] = await transaction.execute(sql, [...parameters, shown ? 'false' : 'true']);
        const answer = row?.['answer'];
        if (typeof answer === 'string') return JSON.parse(answer);
        if (answer !== null) {
          throw new HoldfastError('HF_TX_UNSUPPORTED', 'The executor did not return the row of its statement.', {
            advice: 'It must resolve with the rows, as an array of objects: [{ answer: "…" }].',
          });
        }
      }
    } catch (error) {
      throw explain(error);
    }
    throw new HoldfastError('HF_NOT_IN_TRANSACTION', 'The handle runs each statement in a transaction of its own.', {
      advice: 'Open a transaction and pass its handle, so that this commits together with your change.',
    });
  }

  return {
    async start(tx, requests) {
      if (requests.length === 0) return [];
      const parameters = [`[${requests.map(requestText).join(',')}]`];
      const started = (await ask(tx, startSql, parameters).catch((error: unknown) => {
        // Nothing or all of it has happened, and the second time finds the runs by their ids.
        if (tx === null && classifySqlError(error) === 'connection') return ask(tx, startSql, parameters);
        throw error;
      })) as readonly { readonly id: string; readonly created: boolean }[];
      return started.map(({ id, created }) => ({ id, created }));
    },

    async mail(tx, runId, body, statuses) {
      const answer = await ask(tx, mailSql, [runId, body.kind, JSON.stringify(body), `{${statuses.join(',')}}`]);
      const { accepted, status, pivoted } = answer as { accepted: boolean; status: RunStatus | null; pivoted: boolean };
      return (accepted ? { accepted, status } : { accepted, status, pivoted }) as MailAnswer;
    },

    async read(ids) {
      const { rows } = await database
        .query<ViewRow>(
          `SELECT r.id, r.saga, r.version, r.key, r.status, r.reason, r.pivoted, r.result, r.error,
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

function explain(error: unknown): Error {
  if (sqlStateOf(error) === '25P02') {
    return new HoldfastError(
      'HF_NOT_IN_TRANSACTION',
      'The transaction is aborted: a statement in it has failed, and it can only be rolled back.',
      {
        advice: 'Roll back, or use a savepoint around statements that may fail.',
        cause: error,
      },
    );
  }
  return translateSqlError(error);
}
