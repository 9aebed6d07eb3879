/** Rights that are missing or too many, under the roles of docs/roles.md. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { checkGrants, judgeGrants, partsOfRoles } from '../../src/operations/doctor/doctor-grants.ts';
import { settleDoctorOptions, type CheckFinding } from '../../src/operations/doctor/finding.ts';
import { limitedDatabase } from '../../src/operations/doctor/limited-database.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { documentedGrants, documentedRoles } from '../support/documented-roles.ts';
import { createTestDatabase, uniquePrefix, type TestDatabase } from '../support/servers.ts';

const prefix = uniquePrefix('grants').replaceAll('-', '_');
const ROLES = [...documentedRoles(), 'member', 'owner'];
let test: TestDatabase;
let database: Database;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ pool: test.pool });
  for (const role of ROLES) await test.pool.query(`CREATE ROLE ${prefix}_${role}`);
  await test.pool.query(documentedGrants(prefix));
});
afterAll(async () => {
  for (const role of ROLES)
    await test.pool.query(`DROP OWNED BY ${prefix}_${role} CASCADE; DROP ROLE ${prefix}_${role}`);
  await test.drop();
});

const look = async (): Promise<readonly CheckFinding[]> =>
  checkGrants(limitedDatabase(database), settleDoctorOptions());
const names = (found: readonly CheckFinding[]) => found.map(({ level, check }) => `${level} ${check}`);

it('has nothing against the roles as they are documented', async () => {
  expect(await look()).toEqual([]);
});

it.each([
  ['relay', 'REVOKE DELETE ON holdfast.key_head FROM', /has rights of a relay, and lacks DELETE on key_head\./],
  ['relay', 'REVOKE SELECT ON SEQUENCE holdfast.outbox_seq_seq FROM', /relay, and lacks SELECT on outbox_seq_seq/],
  ['worker', 'REVOKE EXECUTE ON FUNCTION holdfast.record_step FROM', /worker, and lacks EXECUTE on record_step/],
  ['consumer', 'REVOKE SELECT, UPDATE ON holdfast.idempotency_key FROM', /lacks SELECT on idempotency_key, UPDATE on/],
  ['participant', 'REVOKE EXECUTE ON FUNCTION holdfast.end_calls FROM', /participant, and lacks EXECUTE on end_calls/],
  ['starter', 'REVOKE EXECUTE ON FUNCTION holdfast.find_run FROM', /starter, and lacks EXECUTE on find_run/],
  ['service', 'REVOKE EXECUTE ON FUNCTION holdfast.send FROM', /service, and lacks EXECUTE on send/],
  ['operator', 'REVOKE DELETE ON holdfast.parked_message FROM', /operator, and lacks DELETE on parked_message/],
])('%s: %s', async (role, revoke, what) => {
  await test.pool.query(`${revoke} ${prefix}_${role}`);
  const found = await look();
  expect(names(found)).toEqual(['warn roles.missing-grant']);
  expect(found[0]?.what).toMatch(what);
  await test.pool.query(found[0]?.repair ?? '');
  expect(await look()).toEqual([]);
});

it('what comes by membership is no lack', async () => {
  await test.pool.query(
    `GRANT ${prefix}_relay TO ${prefix}_member; GRANT INSERT ON holdfast.subscription TO ${prefix}_member`,
  );
  expect(await look()).toEqual([]);
});

it('a function that everybody may execute', async () => {
  await test.pool.query('GRANT EXECUTE ON FUNCTION holdfast.load_runs TO PUBLIC');
  const found = await look();
  expect(names(found)).toEqual(['warn roles.public-execute']);
  expect(found[0]?.what).toMatch(/may execute load_runs\.$/);
  await test.pool.query(found[0]?.repair ?? '');
  expect(await look()).toEqual([]);
});

it('functions that belong to a role that may not write', async () => {
  await test.pool.query(
    `ALTER FUNCTION holdfast.send(text, jsonb, text, jsonb, uuid, integer) OWNER TO ${prefix}_owner`,
  );
  const found = await look();
  expect(names(found)).toEqual(['error roles.door-owner']);
  await test.pool.query(found[0]?.repair ?? '');
  expect(await look()).toEqual([]);
});

it('knows a role by what no other part has, and tells of a role and part once', () => {
  const grant = (role: string, object: string, privilege: string) => ({ role, object, privilege });
  const parts = partsOfRoles([
    grant('w', 'worker', 'INSERT'),
    grant('w', 'start_runs(runs text)', 'EXECUTE'),
    grant('both', 'subscription', 'INSERT'),
    grant('both', 'delivery_attempt', 'INSERT'),
    grant('looks', 'subscription', 'SELECT'),
  ]);
  expect([...parts].map(([role, of]) => [role, [...of]])).toEqual([
    ['w', ['worker']],
    ['both', ['relay', 'consumer']],
  ]);
  const lacks = (object: string) => ({
    role: 'a b',
    part: 'relay',
    kind: 'table' as const,
    object,
    privilege: 'SELECT',
  });
  expect(judgeGrants(['a', 'b', 'c', 'd', 'e', 'f', 'g'].map(lacks), 'holdfast')).toMatchObject([
    {
      what: expect.stringMatching(/SELECT on e and 2 more\.$/) as string,
      repair: expect.stringMatching(/^GRANT SELECT ON "holdfast"."a" TO "a b";\n/) as string,
    },
  ]);
});
