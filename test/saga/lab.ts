/**
 * What the tests of the engine share: a migrated database that writes down every move of every run, workers and clients on it, and
 * ways to look at runs, to write mail for them as operators do, and to hold commits up.
 */
import { expect } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { createSagas, type Sagas } from '../../src/saga/client/client.ts';
import type { AnySaga } from '../../src/saga/definition/definition.ts';
import { MOVES, type JournalEvent, type RunStatus, type StuckWhy } from '../../src/saga/journal/events.ts';
import { createPostgresClientStore } from '../../src/saga/store/postgres/postgres-client-store.ts';
import { createPostgresWorkerStore } from '../../src/saga/store/postgres/postgres-worker-store.ts';
import type { RunMessageBody, RunView } from '../../src/saga/store/store.ts';
import { createWorker, type Worker, type WorkerOptions } from '../../src/saga/worker/worker.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { eventually } from '../support/eventually.ts';

export interface Lab {
  readonly test: TestDatabase;
  readonly database: Database;
  /** A started worker. Waits between attempts are over at once, and its lease ends only when a test says so. */
  worker(sagas: readonly AnySaga[], options?: Partial<WorkerOptions>): Promise<Worker>;
  client(sagas: readonly AnySaga[]): Sagas;
  events(runId: string): Promise<readonly JournalEvent[]>;
  /** The events of the run, each as `type call`, but for `started`. */
  story(runId: string): Promise<readonly string[]>;
  view(runId: string): Promise<RunView>;
  /** Resolves once the run has that status. */
  until(runId: string, status: RunStatus): Promise<RunView>;
  /** Resolves once the run is in nobody's memory. */
  untilFree(runId: string): Promise<unknown>;
  /** Resolves once the journal of the run has such an event. */
  untilEvent<T extends JournalEvent['t']>(runId: string, t: T, call?: string): Promise<Extract<JournalEvent, { t: T }>>;
  stuck(
    runId: string,
  ): Promise<{ readonly why: StuckWhy; readonly call: string | undefined; readonly message: string }>;
  /** Run messages as the operations write them. */
  postRunMessage(runId: string, body: RunMessageBody): Promise<void>;
  /** Ticks until the promise is settled: for a worker whose clock stands still, and with it the looks it would take by itself. */
  ticking<T>(worker: Worker, promise: Promise<T>): Promise<T>;
  /** The lease of that worker ends, and what it held is free for others at once. */
  takeOver(workerId: string): Promise<void>;
  /** No journal row can be written until the function returned is called. */
  holdCommits(): Promise<() => Promise<void>>;
  /** How many statements wait for a lock. */
  waitingForLocks(): Promise<number>;
  /** After each test: stops the workers, and checks every move that a run has made. */
  settle(): Promise<void>;
  dispose(): Promise<void>;
}

/** `encoding` of the database; default: that of the server. */
export async function openLab(encoding?: 'LATIN1'): Promise<Lab> {
  const test = await createTestDatabase(encoding === undefined ? {} : { encoding });
  const database = openDatabase({ url: test.url, max: 10 });
  await migrate(database);
  await test.pool.query(`
    CREATE TABLE effect (id bigserial, what text NOT NULL);
    CREATE TABLE move (run uuid, was text, becomes text);
    CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF OLD.status <> NEW.status THEN INSERT INTO public.move VALUES (NEW.id, OLD.status, NEW.status); END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER note_move AFTER UPDATE ON holdfast.saga_run FOR EACH ROW EXECUTE FUNCTION note_move()`);
  const store = createPostgresClientStore({ database });
  const workers: Worker[] = [];

  const lab: Lab = {
    test,
    database,
    async worker(sagas, options = {}) {
      const worker = createWorker({ database, sagas, random: () => 0, idlePoll: '20ms', lease: '1h', ...options });
      workers.push(worker);
      await worker.start();
      return worker;
    },
    client: (sagas) => createSagas({ database, sagas }),
    async events(runId) {
      return (await store.journal(runId)).flatMap((row) => row.events);
    },
    async story(runId) {
      const events = await lab.events(runId);
      return events
        .filter((event) => event.t !== 'started')
        .map((event) => ('call' in event && event.call !== undefined ? `${event.t} ${event.call}` : event.t));
    },
    async view(runId) {
      const [view] = await store.read([runId]);
      if (view === undefined) throw new Error(`There is no run ${runId}.`);
      return view;
    },
    until: (runId, status) =>
      eventually(
        `run ${runId} to be ${status}`,
        async () => {
          const view = await lab.view(runId);
          return view.status === status && view;
        },
        30_000,
      ),
    untilFree: (runId) =>
      eventually(
        `run ${runId} to leave memory`,
        async () => {
          const { rows } = await test.pool.query('SELECT 1 FROM holdfast.saga_run WHERE id = $1 AND worker IS NULL', [
            runId,
          ]);
          return rows.length === 1;
        },
        30_000,
      ),
    untilEvent: <T extends JournalEvent['t']>(runId: string, t: T, call?: string) =>
      eventually(
        `${t} ${call ?? ''} of ${runId}`,
        async () => {
          const events = await lab.events(runId);
          const is = (event: JournalEvent): event is Extract<JournalEvent, { t: T }> =>
            event.t === t && (call === undefined || ('call' in event && event.call === call));
          return events.find(is);
        },
        30_000,
      ),
    async stuck(runId) {
      await lab.until(runId, 'stuck');
      const event = (await lab.events(runId)).findLast((each) => each.t === 'stuck');
      if (event?.t !== 'stuck') throw new Error(`Run ${runId} is stuck, and its journal does not say why.`);
      return { why: event.why, call: event.call, message: event.error.message };
    },
    async postRunMessage(runId, body) {
      const answer = await store.postRunMessage(null, runId, body, [
        'pending',
        'running',
        'waiting',
        'compensating',
        'stuck',
      ]);
      expect(answer.accepted).toBe(true);
    },
    async ticking(worker, promise) {
      let settled = false;
      const settle = (): void => void (settled = true);
      promise.then(settle, settle);
      while (!settled) await worker.tick();
      return promise;
    },
    async takeOver(workerId) {
      const { rowCount } = await test.pool.query(
        `UPDATE holdfast.worker SET lease_until = now() - interval '1 second' WHERE id = $1`,
        [workerId],
      );
      expect(rowCount).toBe(1);
      const taker = createPostgresWorkerStore({ database });
      expect((await taker.takeOver()).workers).toBe(1);
    },
    async holdCommits() {
      const client = await test.pool.connect();
      await client.query('BEGIN; LOCK TABLE holdfast.saga_journal IN SHARE MODE');
      return async () => {
        await client.query('COMMIT');
        client.release();
      };
    },
    async waitingForLocks() {
      const { rows } = await test.pool.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return rows[0]?.n ?? 0;
    },
    async settle() {
      await Promise.all(workers.splice(0).map((worker) => worker.stop({ signal: AbortSignal.timeout(5_000) })));
      const { rows } = await test.pool.query<{ was: RunStatus; becomes: RunStatus }>(
        'SELECT DISTINCT was, becomes FROM move',
      );
      expect(rows.filter(({ was, becomes }) => !MOVES[was].includes(becomes))).toEqual([]);
      const left = await test.pool.query(
        `SELECT r.id, r.saga, r.status FROM holdfast.saga_run r
         WHERE r.worker IS NOT NULL AND NOT EXISTS (SELECT 1 FROM holdfast.worker w WHERE w.id = r.worker)`,
      );
      expect(left.rows).toEqual([]);
      await test.pool.query(
        'TRUNCATE effect, move, holdfast.saga_run, holdfast.saga_journal, holdfast.saga_mail, holdfast.worker, holdfast.outbox',
      );
    },
    async dispose() {
      await database.close();
      await test.drop();
    },
  };
  return lab;
}

/** A promise with its handles outside. */
export function gate<T = void>(): {
  readonly promise: Promise<T>;
  readonly open: (value: T) => void;
  readonly fail: (error: unknown) => void;
} {
  let open: (value: T) => void = () => {};
  let fail: (error: unknown) => void = () => {};
  const promise = new Promise<T>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { promise, open, fail };
}
