/** The grants of docs/roles.md are enough for each part, and no part has more. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { consumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { memoryTransport } from '../../src/transport/memory.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase, uniquePrefix, type TestDatabase } from '../support/servers.ts';

const Noted = message('note.taken', { schema: z.object({ n: z.number() }), key: () => 'k' });
const outbox = createOutbox();
// Roles belong to the whole server: names of our own.
const prefix = uniquePrefix('role').replaceAll('-', '_');
let test: TestDatabase;

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  const page = readFileSync(new URL('../../docs/roles.md', import.meta.url), 'utf8');
  const grants = /<!-- roles: tested -->\s*```sql\n([\s\S]*?)\n```/.exec(page)?.[1] ?? '';
  expect(grants).toContain('GRANT');
  for (const role of ['service', 'relay', 'consumer']) {
    await test.pool.query(`CREATE ROLE ${prefix}_${role} LOGIN PASSWORD 'test'`);
  }
  await test.pool.query(grants.replaceAll(/ TO (\w+);/g, ` TO ${prefix}_$1;`));
  await test.pool.query(`CREATE TABLE note (n int); GRANT INSERT ON note TO ${prefix}_consumer`);
});
afterAll(async () => {
  for (const role of ['service', 'relay', 'consumer']) {
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
    const transport = memoryTransport();
    const service = as('service');
    await service.transaction((tx) => outbox.send(tx, Noted, { n: 1 }));
    await service.transaction((tx) => outbox.send(tx, Noted, { n: 2 }, { delay: 0 }));
    const relay = createRelay({
      database: as('relay'),
      subscriptions: [{ name: 'main', transport, routes: [{ topics: '**', to: 'notes', ordered: true }] }],
    });
    const notes = consumer('notes', {
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

  it.each([
    ['service', 'SELECT * FROM holdfast.outbox'],
    ['service', 'DELETE FROM holdfast.scheduled_message'],
    ['relay', 'SELECT * FROM holdfast.inbox'],
    ['consumer', 'SELECT * FROM holdfast.outbox'],
    ['consumer', 'INSERT INTO holdfast.audit (actor, action, subject) VALUES ($$a$$, $$b$$, $$c$$)'],
  ])('do not let the %s %s', async (role, sql) => {
    await expect(as(role).query(sql)).rejects.toMatchObject({ code: '42501' });
  });
});
