/** The grants of docs/roles.md are enough for each part, and no part has more. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { createAlerts } from '../../src/operations/alerts/alerts.ts';
import { runJob } from '../../src/operations/jobs/job-runner.ts';
import { abortJob, startJob } from '../../src/operations/jobs/jobs.ts';
import { discardParked } from '../../src/operations/parked/interventions.ts';
import { parkedGroups } from '../../src/operations/parked/parked-groups.ts';
import { reviseParked } from '../../src/operations/parked/revise.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { silentLogger, type Logger } from '../../src/runtime/log.ts';
import { createPostgresClientStore } from '../../src/saga/store/postgres/postgres-client-store.ts';
import { createPostgresWorkerStore } from '../../src/saga/store/postgres/postgres-worker-store.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { commitOf, journalRow, LEASE_MS, messageText, uniqueSaga, update } from '../conformance/saga-store-kit.ts';
import { documentedGrants, documentedRoles } from '../support/documented-roles.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase, uniquePrefix, type TestDatabase } from '../support/servers.ts';

const Noted = message('note.taken', { schema: z.object({ n: z.number() }), key: () => 'k' });
const outbox = createOutbox();
// Roles belong to the whole server: names of our own.
const prefix = uniquePrefix('role').replaceAll('-', '_');
const ROLES = documentedRoles();
let test: TestDatabase;

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  for (const role of ROLES) {
    await test.pool.query(`CREATE ROLE ${prefix}_${role} LOGIN PASSWORD 'test'`);
  }
  await test.pool.query(documentedGrants(prefix));
  await test.pool.query(`CREATE TABLE note (n int); GRANT INSERT ON note TO ${prefix}_consumer`);
});
afterAll(async () => {
  for (const role of ROLES) {
    await test.pool.query(`DROP OWNED BY ${prefix}_${role}; DROP ROLE ${prefix}_${role}`);
  }
  await test.drop();
});

function as(role: string): Database {
  const url = Object.assign(new URL(test.url), { username: `${prefix}_${role}`, password: 'test' });
  const database = openDatabase({ url: url.href });
  onTestFinished(() => database.close());
  return database;
}

describe('the grants of docs/roles.md', () => {
  it('let a service write, a relay publish and a consumer handle', async () => {
    const transport = createMemoryTransport();
    const service = as('service');
    await service.transaction((tx) => outbox.send(tx, Noted, { n: 1 }));
    await service.transaction((tx) => outbox.send(tx, Noted, { n: 2 }, { delay: 0 }));
    const relay = createRelay({
      database: as('relay'),
      subscriptions: [{ name: 'main', transport, routes: [{ topics: '**', to: 'notes', ordered: true }] }],
    });
    const notes = createConsumer('notes', {
      database: as('consumer'),
      transport,
      ordered: true,
      handlers: [on(Noted, async ({ n }, { tx }) => tx.query('INSERT INTO note (n) VALUES ($1)', [n]))],
    });
    await relay.start();
    await notes.start();
    await eventually('both notes', async () => (await test.pool.query('SELECT n FROM note')).rowCount === 2);
    expect((await test.pool.query('SELECT n FROM note ORDER BY n')).rows).toEqual([{ n: 1 }, { n: 2 }]);
    await relay.prune();
    await notes.tickParked();
    await notes.tickPrune();
    await relay.stop();
    await notes.stop();
  });

  it('let a relay watch for alerts, of what it may look at', async () => {
    await test.pool.query(`GRANT ${prefix}_watcher TO ${prefix}_relay`);
    const refused: string[] = [];
    const log: Logger = {
      ...silentLogger,
      info: (fields) => void refused.push((fields as { area: string }).area),
      child: () => log,
    };
    const alerts = createAlerts({ database: as('relay'), name: 'relay-1', log });
    onTestFinished(() => alerts.stop());
    await alerts.tick();
    await test.pool.query(`REVOKE ${prefix}_watcher FROM ${prefix}_relay`);
    expect(refused.toSorted()).toEqual(['consumers', 'sagas']);
    expect((await test.pool.query('SELECT DISTINCT watcher FROM holdfast.alert_round')).rows).toEqual([
      { watcher: 'relay-1' },
    ]);
  });

  it('let a service start a saga and a worker run it', async () => {
    const saga = uniqueSaga();
    const client = createPostgresClientStore({ database: as('starter') });
    const store = createPostgresWorkerStore({ database: as('worker') });
    onTestFinished(() => store.close());
    const [id, worker] = [randomUUID(), randomUUID()];
    await client.start(null, [{ ...saga, id, key: 'k', input: '1', deadlineMs: null }]);
    await client.postRunMessage(null, id, { kind: 'signal', name: 'go' }, ['pending']);
    await store.register({ id: worker, name: 'test', sagas: [saga], leaseMs: LEASE_MS });
    const [run] = await store.claim(worker, [{ ...saga, limit: 1 }]);
    expect(run?.runMessages).toHaveLength(1);
    await store.collect(worker, { sagas: [saga], limit: 1, taken: [] });
    const messages = [messageText(randomUUID())];
    const runMessagesDone = (run?.runMessages ?? []).map((runMessage) => runMessage.id);
    await store.commit(worker, [
      commitOf(id, {
        journal: journalRow(1),
        runMessagesDone,
        messages,
        runMessages: [{ runId: id, body: { kind: 'undo' } }],
      }),
    ]);
    await store.transaction(worker, async () =>
      commitOf(id, { journal: journalRow(2), update: update('completed', { result: '7' }) }),
    );
    expect(await client.read([id])).toMatchObject([{ status: 'completed', result: 7 }]);
    expect(await client.find(saga.saga, 'k')).toBe(id);
    expect(await createPostgresClientStore({ database: as('viewer') }).journal(id)).toHaveLength(3);
    await store.takeOver();
    await store.retire(worker, false);
  });

  it('let an operator, who is a viewer too, discard, edit and act on many, and a relay and a consumer park', async () => {
    await test.pool.query(`GRANT ${prefix}_viewer TO ${prefix}_operator`);
    await as('relay').query(
      `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, lane, state, reason, error)
       SELECT 'gone', n, gen_random_uuid(), 'note.taken', 0, 'failed', 'refused', 'Error: no ' || n FROM generate_series(1, 3) AS n`,
    );
    const wire = {
      specversion: '1.0',
      holdfast: 1,
      source: 'test',
      type: 'note.taken',
      time: '2026-01-31T08:00:00Z',
      data: { n: 1 },
    };
    const ids = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
    for (const id of ids) {
      await as('consumer').query(
        `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, key, envelope, state, reason, error)
         VALUES ('gone', $1, 'note.taken', 'k', $2, 'failed', 'gave up', 'Error: no')`,
        [id, JSON.stringify({ ...wire, id })],
      );
    }
    const operator = as('operator');
    const by = { actor: 'anna', reason: 'x' };
    expect((await parkedGroups(operator)).groups).toMatchObject([{ messages: 4 }, { messages: 3 }]);
    await discardParked(operator, { id: ids[0] ?? '' }, by);
    await reviseParked(operator, { id: ids[1] ?? '' }, { payload: { n: 2 } }, by);
    const logged = randomUUID();
    await as('service').query(`SELECT holdfast.send('note.taken', '{"n": 1}', id => $1)`, [logged]);
    await as('relay').query(
      `INSERT INTO holdfast.subscription (name, snapshot, high, system_identifier) SELECT 'gone', pg_current_snapshot(), last_value, 1
       FROM holdfast.outbox_seq_seq`,
    );
    await as('relay').query(
      `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, lane, state, reason)
       SELECT 'gone', seq, id, topic, lane, 'failed', 'refused' FROM holdfast.outbox WHERE id = $1`,
      [logged],
    );
    await reviseParked(operator, { id: logged }, { payload: { n: 2 } }, by);
    await discardParked(operator, { id: logged }, by);
    await as('relay').query(`DELETE FROM holdfast.subscription WHERE name = 'gone'`);
    for (const kind of ['parked.retry', 'parked.discard'] as const) {
      const { id } = await startJob(operator, { kind, select: {} }, by);
      expect(await runJob(operator, id)).toMatchObject({ state: 'done', done: 6, failed: {}, passedOver: {} });
    }
    const { id } = await startJob(operator, { kind: 'saga.cancel', select: {} }, by);
    expect(await abortJob(operator, id, by)).toMatchObject({ state: 'aborted' });
  });

  it.each([
    ['service', 'SELECT * FROM holdfast.outbox'],
    // A transaction id that no snapshot ever shows as done is read again and again, and never pruned.
    [
      'service',
      `INSERT INTO holdfast.outbox (xid, id, topic, lane, payload, headers) VALUES ('9223372036854775807', gen_random_uuid(), 'a', 0, '1', '{}')`,
    ],
    [
      'service',
      `INSERT INTO holdfast.scheduled_message (id, due_at, topic, payload, headers) VALUES (gen_random_uuid(), now(), 'a', '1', '{}')`,
    ],
    ['service', `SELECT holdfast.allow_topics('${prefix}_service', '{}')`],
    ['starter', 'SELECT * FROM holdfast.saga_run'],
    ['starter', `INSERT INTO holdfast.saga_journal (saga_id, n, events) VALUES (gen_random_uuid(), 1, '[]')`],
    [
      'starter',
      `INSERT INTO holdfast.saga_mail (saga_id, saga, version, kind, body) VALUES (gen_random_uuid(), 's', 1, 'resolve', '{}')`,
    ],
    ['starter', `SELECT holdfast.send_saga_mail(gen_random_uuid(), 'resolve', '{"kind":"resolve"}', '{stuck}', false)`],
    ['starter', `SELECT holdfast.post_saga_mail(gen_random_uuid(), 'resolve', '{"kind":"resolve"}', '{stuck}', false)`],
    ['starter', `SELECT holdfast.post_saga_mail(gen_random_uuid(), 'signal', '{"kind":"resolve"}', '{stuck}', false)`],
    ['starter', `SELECT holdfast.act_on_saga_run(gen_random_uuid(), '{"kind":"retry"}', '{stuck}', 'me', null, '{}')`],
    ['replies', `SELECT holdfast.post_saga_reply(gen_random_uuid(), '{"kind":"resolve"}', '{stuck}', false)`],
    ['worker', `SELECT holdfast.act_on_saga_run(gen_random_uuid(), '{"kind":"retry"}', '{stuck}', 'me', null, '{}')`],
    ['worker', `SELECT holdfast.restart_run(gen_random_uuid(), '{}', 'me', 'because', '{}')`],
    ['starter', `SELECT holdfast.restart_run(gen_random_uuid(), '{}', 'me', 'because', '{}')`],
    ['operator', `INSERT INTO holdfast.saga_restart (run, restarted_as) VALUES (gen_random_uuid(), gen_random_uuid())`],
    ['worker', 'INSERT INTO holdfast.outbox DEFAULT VALUES'],
    ['operator', `UPDATE holdfast.audit SET actor = 'somebody else'`],
    ['operator', 'DELETE FROM holdfast.audit'],
    ['operator', 'DELETE FROM holdfast.operation_job'],
    ['viewer', `UPDATE holdfast.operation_job SET state = 'aborted'`],
    ['operator', 'UPDATE holdfast.saga_run SET pivoted = true'],
    ['viewer', 'DELETE FROM holdfast.parked_message'],
    ['service', 'DELETE FROM holdfast.scheduled_message'],
    ['relay', 'SELECT * FROM holdfast.inbox'],
    ['starter', 'UPDATE holdfast.saga_run SET pivoted = true'],
    ['starter', 'SELECT * FROM holdfast.saga_mail'],
    ['worker', 'SELECT * FROM holdfast.outbox'],
    ['consumer', 'SELECT * FROM holdfast.outbox'],
    ['consumer', 'INSERT INTO holdfast.audit (actor, action, subject) VALUES ($$a$$, $$b$$, $$c$$)'],
  ])('do not let the %s %s', async (role, sql) => {
    await expect(as(role).query(sql)).rejects.toMatchObject({ code: '42501' });
  });
});
