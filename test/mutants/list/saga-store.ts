/**
 * Mistakes in the fences, locks and claims of the saga store on PostgreSQL, and in its retention.
 */
import type { Mutant } from '../mutant.ts';

const COMMITS = 'migrations/0006_saga_guards.sql';
const CLAIMS = 'migrations/0008_claimed_run.sql';
const HOLD = 'migrations/0003_saga.sql';
const RECORD = 'migrations/0013_record_step.sql';
const LEASES = 'src/saga/store/postgres/worker-leases.ts';
const PRUNE = 'src/saga/store/postgres/prune-sagas.ts';
const FENCES = 'test/saga/fences.test.ts';
const STORE = 'test/saga/postgres-store.test.ts';
const RETENTION = 'test/saga/prune-sagas.test.ts';

export const SAGA_STORE: readonly Mutant[] = [
  {
    name: 'saga/store/commit-of-any-run',
    file: COMMITS,
    from: 'WHERE r.ctid = u.tid AND r.worker IS NOT DISTINCT FROM commit_runs.worker;',
    to: 'WHERE r.ctid = u.tid;',
    breaks: 'I10: a worker writes a run that another one holds',
    tests: [STORE],
  },
  {
    name: 'saga/store/commit-counts-nothing',
    file: COMMITS,
    from: 'IF changed <> updated THEN',
    to: 'IF changed > updated THEN',
    breaks: 'I10: a journal grows under a run that another worker holds',
    tests: [STORE],
  },
  {
    name: 'saga/store/commit-holds-no-row',
    file: COMMITS,
    from: 'w.lease_until > clock_timestamp() FOR KEY SHARE;',
    to: 'w.lease_until > clock_timestamp();',
    breaks: 'I10: a takeover does not wait for a commit under way',
    tests: [FENCES],
  },
  {
    name: 'saga/store/commit-under-any-lease',
    file: COMMITS,
    from: 'w.id = commit_runs.worker AND w.lease_until > clock_timestamp() FOR KEY SHARE;',
    to: 'w.id = commit_runs.worker FOR KEY SHARE;',
    breaks: 'I10: a commit is made under a lease that is over',
    tests: [FENCES],
  },
  {
    name: 'saga/store/cancelled-run-ends',
    file: COMMITS,
    from: `WHERE x.guarded AND EXISTS (SELECT FROM "holdfast".saga_mail m WHERE m.saga_id = x.id AND m.kind IN ('cancel', 'undo'));`,
    to: `WHERE x.guarded AND EXISTS (SELECT FROM "holdfast".saga_mail m WHERE m.saga_id = x.id AND m.kind IN ('undo'));`,
    breaks: 'I19: a run ends although a cancellation was accepted',
    tests: [STORE],
  },
  {
    name: 'saga/store/guard-not-looked-at',
    file: COMMITS,
    from: 'IF revoked IS NOT NULL THEN',
    to: `IF revoked = '' THEN`,
    breaks: 'I19: a run ends, or begins its pivot, although it is to be compensated',
    tests: [STORE],
  },
  {
    name: 'saga/store/guard-for-all',
    file: COMMITS,
    from: 'WHERE x.guarded AND EXISTS',
    to: 'WHERE EXISTS',
    breaks: 'I6: a run that is to be compensated can record nothing any more',
    tests: [STORE],
  },
  {
    name: 'saga/store/cancel-locks-nothing',
    file: COMMITS,
    from: 'WHERE r.id = send_saga_mail.saga_id FOR SHARE;',
    to: 'WHERE r.id = send_saga_mail.saga_id;',
    breaks: 'I19: a run ends while the cancellation that was accepted is written',
    tests: [FENCES],
  },
  {
    name: 'saga/store/claim-of-held-runs',
    file: CLAIMS,
    from: 'WHERE r.id = ANY (ids) AND r.worker IS NULL',
    to: 'WHERE r.id = ANY (ids)',
    breaks: 'I10: a run is in two workers at once',
    tests: [FENCES],
  },
  {
    name: 'saga/store/claim-without-a-lease',
    file: HOLD,
    from: 'w.id = hold_worker_lease.worker AND w.lease_until > clock_timestamp() FOR KEY SHARE;',
    to: 'w.id = hold_worker_lease.worker FOR KEY SHARE;',
    breaks: 'I10: a worker claims runs under a lease that is over',
    tests: [FENCES],
  },
  {
    name: 'saga/store/claim-holds-no-row',
    file: HOLD,
    from: 'w.id = hold_worker_lease.worker AND w.lease_until > clock_timestamp() FOR KEY SHARE;',
    to: 'w.id = hold_worker_lease.worker AND w.lease_until > clock_timestamp();',
    breaks: `I10: runs are claimed for a worker that is taken over meanwhile, and are nobody's`,
    tests: [FENCES],
  },
  {
    name: 'saga/store/terminal-compensated',
    file: HOLD,
    from: `WHEN (OLD.status IN ('completed', 'compensated') AND NEW.status <> OLD.status)`,
    to: `WHEN (OLD.status IN ('completed') AND NEW.status <> OLD.status)`,
    breaks: 'I6: a run that was compensated goes on',
    tests: [FENCES],
  },
  {
    name: 'saga/store/terminal-to-terminal',
    file: HOLD,
    from: 'AND NEW.status <> OLD.status)',
    to: `AND NEW.status NOT IN ('completed', 'compensated'))`,
    breaks: 'I6: a run that has ended ends otherwise',
    tests: [FENCES],
  },
  {
    name: 'saga/store/step-holds-no-row',
    file: RECORD,
    from: 'w.lease_until > clock_timestamp() FOR KEY SHARE;',
    to: 'w.lease_until > clock_timestamp();',
    breaks: 'I10: a takeover does not wait for a transaction step that commits',
    tests: [FENCES],
  },
  {
    name: 'saga/store/step-under-any-lease',
    file: RECORD,
    from: 'w.id = record_step.worker AND w.lease_until > clock_timestamp() FOR KEY SHARE;',
    to: 'w.id = record_step.worker FOR KEY SHARE;',
    breaks: 'I10: a transaction step commits under a lease that is over',
    tests: [FENCES],
  },
  {
    name: 'saga/store/pivot-of-any-run',
    file: RECORD,
    from: 'WHERE r.id = run AND r.worker = record_step.worker;',
    to: 'WHERE r.id = run;',
    breaks: 'I10: a worker passes the pivot of a run that another one holds',
    tests: [FENCES],
  },
  {
    name: 'saga/store/taken-over-and-due',
    file: LEASES,
    from: `wake_at = CASE WHEN status NOT IN ('completed', 'compensated', 'stuck') THEN`,
    to: `wake_at = CASE WHEN status NOT IN ('completed', 'compensated') THEN`,
    breaks: 'I6: a run that waits for a person is taken up again and again',
    tests: [FENCES],
  },
  {
    name: 'saga/store/renewed-when-over',
    file: LEASES,
    from: 'WHERE id = $1 AND lease_until > clock_timestamp() RETURNING',
    to: 'WHERE id = $1 RETURNING',
    breaks: 'I10: a lease that is over is prolonged',
    tests: [STORE],
  },
  {
    name: 'saga/store/takeover-of-the-living',
    file: LEASES,
    from: 'DELETE FROM ${s}.worker WHERE id = $1 AND lease_until <= clock_timestamp()',
    to: "DELETE FROM ${s}.worker WHERE id = $1 AND lease_until <= clock_timestamp() + interval '1 hour' AND false",
    breaks: 'I6: the runs of a dead worker are never taken over',
    tests: [STORE],
  },
  {
    name: 'saga/store/let-go-by-anybody',
    file: LEASES,
    from: 'await this.#on.rows(`${freeSql(this.#on.s, 0, delayMs)} AND id = ANY ($2::uuid[])`, [workerId, runIds]);',
    to: 'await this.#on.rows(`${freeSql(this.#on.s, 0, delayMs)} OR id = ANY ($2::uuid[])`, [workerId, runIds]);',
    breaks: 'I10: a worker frees runs that another one holds',
    tests: [STORE],
  },
  {
    name: 'saga/store/retire-counts-as-lost',
    file: LEASES,
    from: 'const { rowCount } = await client.query(freeSql(s, 0), [workerId]);',
    to: 'const { rowCount } = await client.query(freeSql(s, 1), [workerId]);',
    breaks: 'I16: deployments make runs suspect of killing workers',
    tests: [STORE],
  },
  {
    name: 'saga/store/prune-of-children',
    file: PRUNE,
    from: 'AND NOT EXISTS (SELECT 1 FROM ${s}.saga_run p WHERE p.id = r.parent AND p.finished_at IS NULL)',
    to: '',
    breaks: 'I8: a child is deleted that its parent may still have to compensate',
    tests: [RETENTION],
  },
  {
    name: 'saga/store/prune-of-held-runs',
    file: PRUNE,
    from: 'AND r.worker IS NULL\n',
    to: '\n',
    breaks: 'I10: a run is deleted under the hands of its worker',
    tests: [RETENTION],
  },
  {
    name: 'saga/store/prune-leaves-mail',
    file: PRUNE,
    from: 'mails AS (DELETE FROM ${s}.saga_mail WHERE saga_id = ANY ((SELECT ids FROM ids)::uuid[])),',
    to: 'mails AS (SELECT 1),',
    breaks: 'I6: mail of runs that are gone stays for ever',
    tests: [RETENTION],
  },
];
