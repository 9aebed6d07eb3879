/**
 * Every table, sequence and function against every role of docs/roles.md, allowed and denied. A new one that nobody has thought of fails
 * here: grant it in docs/roles.md where it is needed, and write it down below.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { checkRoles } from '../../src/operations/doctor/doctor-roles.ts';
import { settleDoctorOptions } from '../../src/operations/doctor/finding.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { documentedGrants, documentedRoles } from '../support/documented-roles.ts';
import { createTestDatabase, uniquePrefix, type TestDatabase } from '../support/servers.ts';

/** What each role may: letters of SELECT, INSERT, UPDATE, DELETE, TRUNCATE, USAGE, EXECUTE (X). A role that is not named: nothing. */
const TABLES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  alert: { viewer: 'S', watcher: 'SIUD' },
  alert_round: { viewer: 'S', watcher: 'SIU' },
  audit: { operator: 'I', viewer: 'S' },
  delivery_attempt: { consumer: 'SIUD', viewer: 'S' },
  environment: { operator: 'IU', viewer: 'S' },
  idempotency_key: { consumer: 'SIUD', viewer: 'S' },
  inbox: { consumer: 'SIUD', operator: 'IU', viewer: 'S' },
  key_head: { operator: 'D', relay: 'SIUD', viewer: 'S' },
  migration: { consumer: 'S', relay: 'S', viewer: 'S', worker: 'S' },
  operation_job: { operator: 'IU', viewer: 'S' },
  outbox: { relay: 'SD', viewer: 'S' },
  parked_delivery: { consumer: 'SIUD', operator: 'UD', viewer: 'S' },
  parked_message: { operator: 'UD', relay: 'SIUD', viewer: 'S' },
  participant_call: { participant: 'SIUD', viewer: 'S' },
  replay: { operator: 'IUD', relay: 'SIUD', viewer: 'S' },
  saga_journal: { viewer: 'S', worker: 'SIUD' },
  saga_mail: { viewer: 'S', worker: 'SIUD' },
  saga_restart: { viewer: 'S', worker: 'SD' },
  saga_run: { viewer: 'S', worker: 'SIUD' },
  scheduled_message: { relay: 'SUD', viewer: 'S' },
  subscription: { consumer: 'S', operator: 'UD', relay: 'SIUD', viewer: 'S' },
  topic_right: { viewer: 'S' },
  worker: { viewer: 'S', worker: 'SIUD' },
};
const SEQUENCES: typeof TABLES = {
  audit_id_seq: { viewer: 'S' },
  outbox_seq_seq: { relay: 'S', viewer: 'S' },
  parked_delivery_position_seq: { viewer: 'S' },
  relay_asleep: { relay: 'SU', viewer: 'S' },
  saga_mail_id_seq: { viewer: 'S' },
  worker_asleep: { viewer: 'S', worker: 'SU' },
};
/** By name and number of parameters. */
const FUNCTIONS: typeof TABLES = {
  'act_on_saga_run/6': { operator: 'X' },
  'allow_topics/2': { worker: 'X' },
  'at_home/1': {
    consumer: 'X',
    operator: 'X',
    participant: 'X',
    relay: 'X',
    replies: 'X',
    service: 'X',
    starter: 'X',
    stranger: 'X',
    viewer: 'X',
    watcher: 'X',
    worker: 'X',
  },
  'calling_role/0': {
    consumer: 'X',
    operator: 'X',
    participant: 'X',
    relay: 'X',
    replies: 'X',
    service: 'X',
    starter: 'X',
    stranger: 'X',
    viewer: 'X',
    watcher: 'X',
    worker: 'X',
  },
  'check_topic/0': { worker: 'X' },
  'claim_environment/1': { consumer: 'X', relay: 'X', worker: 'X' },
  'claim_runs/4': { worker: 'X' },
  'claim_runs/6': { worker: 'X' },
  'claim_these_runs/2': { worker: 'X' },
  'claim_these_runs/4': { worker: 'X' },
  'claimable_runs/3': { worker: 'X' },
  'commit_runs/12': { worker: 'X' },
  'end_call/11': { participant: 'X', worker: 'X' },
  'end_calls/3': { participant: 'X', worker: 'X' },
  'enter_call/8': { participant: 'X', worker: 'X' },
  'enter_calls/4': { participant: 'X', worker: 'X' },
  'error_fingerprint/2': {
    consumer: 'X',
    operator: 'X',
    participant: 'X',
    relay: 'X',
    replies: 'X',
    service: 'X',
    starter: 'X',
    stranger: 'X',
    viewer: 'X',
    watcher: 'X',
    worker: 'X',
  },
  'error_pattern/1': {
    consumer: 'X',
    operator: 'X',
    participant: 'X',
    relay: 'X',
    replies: 'X',
    service: 'X',
    starter: 'X',
    stranger: 'X',
    viewer: 'X',
    watcher: 'X',
    worker: 'X',
  },
  'find_run/2': { starter: 'X', worker: 'X' },
  'hold_worker_lease/1': { worker: 'X' },
  'is_adopted/0': { relay: 'X', worker: 'X' },
  'is_too_deep/1': { worker: 'X' },
  'is_undecided/1': { worker: 'X' },
  'keep_audit/0': { worker: 'X' },
  'lane_of/1': { worker: 'X' },
  'load_runs/1': { worker: 'X' },
  'may_take_run/4': { worker: 'X' },
  'move_to_end/1': { relay: 'X', worker: 'X' },
  'note_fingerprint/0': { worker: 'X' },
  'pending_saga_mail/5': { worker: 'X' },
  'pending_saga_mail/6': { worker: 'X' },
  'post_saga_mail/5': { starter: 'X', worker: 'X' },
  'post_saga_replies/4': { replies: 'X' },
  'post_saga_reply/4': { replies: 'X' },
  'raise_sequences/0': {
    consumer: 'X',
    operator: 'X',
    participant: 'X',
    relay: 'X',
    replies: 'X',
    service: 'X',
    starter: 'X',
    stranger: 'X',
    viewer: 'X',
    watcher: 'X',
    worker: 'X',
  },
  'read_runs/1': { starter: 'X', worker: 'X' },
  'readable/1': { worker: 'X' },
  'record_step/7': { worker: 'X' },
  'redelivery_horizon_ms/0': { consumer: 'X', worker: 'X' },
  'refuse_saga_move/0': { worker: 'X' },
  'revised_is_due_apart/0': { worker: 'X' },
  'restart_run/5': { operator: 'X' },
  'saga_mail_of/4': { worker: 'X' },
  'schedule_messages/2': { service: 'X', worker: 'X' },
  'send/6': { service: 'X', worker: 'X' },
  'send_saga_mail/5': { worker: 'X' },
  'sequences_behind/0': {
    consumer: 'X',
    operator: 'X',
    participant: 'X',
    relay: 'X',
    replies: 'X',
    service: 'X',
    starter: 'X',
    stranger: 'X',
    viewer: 'X',
    watcher: 'X',
    worker: 'X',
  },
  'server_timeline/0': {
    consumer: 'X',
    operator: 'X',
    participant: 'X',
    relay: 'X',
    replies: 'X',
    service: 'X',
    starter: 'X',
    stranger: 'X',
    viewer: 'X',
    watcher: 'X',
    worker: 'X',
  },
  'start_runs/2': { starter: 'X', worker: 'X' },
  'unseen_messages/2': { relay: 'X', worker: 'X' },
  'uuid_v7/0': { worker: 'X' },
  'value_limit/3': { worker: 'X' },
  'wake_workers/0': { worker: 'X' },
  'write_message/7': { service: 'X', worker: 'X' },
  'write_outbox/2': { relay: 'X', service: 'X', worker: 'X' },
};
/** Those that run with the rights of the owner. */
const DOORS = [
  'act_on_saga_run',
  'claim_environment',
  'find_run',
  'is_adopted',
  'move_to_end',
  'note_fingerprint',
  'post_saga_mail',
  'post_saga_replies',
  'post_saga_reply',
  'raise_sequences',
  'read_runs',
  'redelivery_horizon_ms',
  'restart_run',
  'schedule_messages',
  'send',
  'sequences_behind',
  'start_runs',
  'unseen_messages',
  'write_message',
  'write_outbox',
];

const prefix = uniquePrefix('matrix').replaceAll('-', '_');
/** Those of the page, and one that has nothing but a login. */
const ROLES = [...documentedRoles(), 'stranger'];
let test: TestDatabase;

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  for (const role of ROLES) await test.pool.query(`CREATE ROLE ${prefix}_${role} LOGIN`);
  await test.pool.query(documentedGrants(prefix));
});
afterAll(async () => {
  for (const role of ROLES) await test.pool.query(`DROP OWNED BY ${prefix}_${role}; DROP ROLE ${prefix}_${role}`);
  await test.drop();
});

type Matrix = Record<string, Record<string, string>>;

/** `ask` is an expression of the object (`o.oid`) and a privilege. */
async function matrixOf(
  objects: string,
  ask: string,
  privileges: readonly (readonly [string, string])[],
): Promise<Matrix> {
  const letters = privileges.map(
    ([name, letter]) => `CASE WHEN ${ask.replace('?', `'${name}'`)} THEN '${letter}' ELSE '' END`,
  );
  const { rows } = await test.pool.query<{ object: string; role: string; may: string }>(
    `SELECT o.name AS object, r.role, ${letters.join(' || ')} AS may
     FROM (${objects}) AS o, unnest($1::text[]) AS r (role) ORDER BY 1, 2`,
    [ROLES],
  );
  const matrix: Matrix = {};
  for (const { object, role, may } of rows) {
    matrix[object] ??= {};
    if (may !== '') matrix[object][role] = may;
  }
  return matrix;
}

const ROLE = `'${prefix}_' || r.role`;

it('tables', async () => {
  const objects = `SELECT oid, relname::text AS name FROM pg_class WHERE relnamespace = 'holdfast'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')`;
  const found = await matrixOf(objects, `has_table_privilege(${ROLE}, o.oid, ?)`, [
    ['SELECT', 'S'],
    ['INSERT', 'I'],
    ['UPDATE', 'U'],
    ['DELETE', 'D'],
    ['TRUNCATE', 'T'],
  ]);
  expect(found).toEqual(TABLES);
});

it('sequences', async () => {
  const objects = `SELECT oid, relname::text AS name FROM pg_class WHERE relnamespace = 'holdfast'::regnamespace AND relkind = 'S'`;
  const found = await matrixOf(objects, `has_sequence_privilege(${ROLE}, o.oid, ?)`, [
    ['USAGE', 'G'],
    ['SELECT', 'S'],
    ['UPDATE', 'U'],
  ]);
  expect(found).toEqual(SEQUENCES);
});

it('functions', async () => {
  const objects = `SELECT oid, proname || '/' || pronargs AS name FROM pg_proc WHERE pronamespace = 'holdfast'::regnamespace`;
  const found = await matrixOf(objects, `has_function_privilege(${ROLE}, o.oid, ?)`, [['EXECUTE', 'X']]);
  expect(found).toEqual(FUNCTIONS);
});

it('no function finds anything by the search_path of whoever calls it, and those that run with other rights are known', async () => {
  const { rows } = await test.pool.query<{ name: string; pinned: boolean; definer: boolean }>(
    `SELECT proname::text AS name, prosecdef AS definer,
       prosqlbody IS NOT NULL OR coalesce(proconfig @> '{"search_path=pg_catalog, pg_temp"}', false) AS pinned
     FROM pg_proc WHERE pronamespace = 'holdfast'::regnamespace`,
  );
  expect(rows.length).toBeGreaterThan(10);
  expect(rows.filter(({ pinned }) => !pinned)).toEqual([]);
  const doors = rows.filter(({ definer }) => definer).map(({ name }) => name);
  expect(doors.toSorted()).toEqual(DOORS);
});

it('a function of the same name in a schema that others may write to is never run by ours', async () => {
  const role = `${prefix}_stranger`;
  await test.pool.query(
    `GRANT CREATE ON SCHEMA public TO ${role}; CREATE TABLE public.caught (who text); GRANT INSERT ON public.caught TO PUBLIC`,
  );
  const client = await test.pool.connect();
  try {
    // As the stranger: closer to what our functions call than the built-in ones, whose parameters are "any".
    await client.query(`SET SESSION AUTHORIZATION ${role}`);
    await client.query(`
      CREATE FUNCTION public.jsonb_build_object(text, uuid, text, boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO public.caught VALUES (current_user); RETURN pg_catalog.jsonb_build_object($1, $2, $3, $4); END $$;
      CREATE FUNCTION public.jsonb_build_object(text, integer) RETURNS jsonb LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO public.caught VALUES (current_user); RETURN pg_catalog.jsonb_build_object($1, $2); END $$;
      CREATE FUNCTION public.octet_length(varchar) RETURNS integer LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO public.caught VALUES (current_user); RETURN 1; END $$`);
    await client.query('RESET SESSION AUTHORIZATION');
    await client.query(`SELECT holdfast.send('order.placed', '{}', key => 'k')`);
    await client.query(
      `SELECT holdfast.start_runs('[{"id":"01900000-0000-7000-8000-000000000001","saga":"s","version":1,"input":1}]', false)`,
    );
    expect((await client.query('SELECT * FROM public.caught')).rows).toEqual([]);
  } finally {
    client.release(true);
  }
});

it('a role that is limited to topics sends to these alone, now and later', async () => {
  const role = `${prefix}_service`;
  const client = await test.pool.connect();
  const send = async (topic: string) => client.query(`SELECT holdfast.send($1, '{}')`, [topic]);
  const refused = { code: '42501' };
  try {
    await client.query(`SELECT holdfast.allow_topics($1, '{order.**,payment.*,**.audit,stock.**.moved}')`, [role]);
    await client.query(`SET SESSION AUTHORIZATION ${role}`);
    for (const topic of [
      'order',
      'order.placed',
      'order.item.added',
      'payment.charge',
      'audit',
      'a.b.audit',
      'stock.moved',
      'stock.a.b.moved',
    ])
      await send(topic);
    for (const topic of [
      'saga.reply',
      'orders.placed',
      'payment',
      'payment.charge.compensate',
      'audits',
      'stock.moved.on',
      'order-placed',
    ])
      await expect(send(topic)).rejects.toMatchObject(refused);
    const later = JSON.stringify([
      { id: '01900000-0000-7000-8000-000000000002', delay_ms: 1, topic: 'saga.reply', payload: 1 },
    ]);
    await expect(client.query('SELECT holdfast.schedule_messages($1, false)', [later])).rejects.toMatchObject(refused);
    await client.query('RESET SESSION AUTHORIZATION');
    // By SET ROLE as well, and without end for those that are not limited.
    await client.query(`SET ROLE ${role}`);
    await expect(send('saga.reply')).rejects.toMatchObject(refused);
    await client.query('RESET ROLE');
    await send('saga.reply');
    await client.query(`SELECT holdfast.allow_topics($1, '{}')`, [role]);
    await client.query(`SET ROLE ${role}`);
    await send('saga.reply');
  } finally {
    client.release(true);
  }
});

it('rows of the audit are neither changed nor deleted, also by the owner, and say which role wrote them', async () => {
  const role = `${prefix}_operator`;
  const client = await test.pool.connect();
  try {
    await client.query(`SET ROLE ${role}`);
    await client.query(
      `INSERT INTO holdfast.audit (actor, action, subject, by_role) VALUES ('anna', 'a', 'b', 'somebody_else')`,
    );
    await client.query('RESET ROLE');
    expect((await client.query('SELECT actor, by_role FROM holdfast.audit')).rows).toEqual([
      { actor: 'anna', by_role: role },
    ]);
    await expect(client.query(`UPDATE holdfast.audit SET actor = 'bert'`)).rejects.toMatchObject({ code: '42501' });
    await expect(client.query('DELETE FROM holdfast.audit')).rejects.toMatchObject({ code: '42501' });
  } finally {
    client.release(true);
  }
});

it('the doctor names roles that can forge, and none of those that docs/roles.md makes', async () => {
  const database = openDatabase({ pool: test.pool });
  expect((await checkRoles(database, settleDoctorOptions())).map(({ check }) => check)).toEqual([]);
  await test.pool.query(`GRANT INSERT ON holdfast.outbox, holdfast.saga_mail TO ${prefix}_stranger`);
  expect(await checkRoles(database, settleDoctorOptions())).toMatchObject([
    { level: 'warn', check: 'roles.forge', what: expect.stringContaining('publishes again and again') as string },
    { what: expect.stringMatching(/_stranger can settle runs/) as string },
  ]);
  await test.pool.query(`REVOKE INSERT ON holdfast.outbox, holdfast.saga_mail FROM ${prefix}_stranger`);
});
