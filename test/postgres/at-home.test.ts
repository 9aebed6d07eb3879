/** A schema that was renamed, whose functions still write into the tables of the original. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { doctor } from '../../src/operations/doctor/doctor.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { createPostgresClientStore } from '../../src/saga/store/postgres/postgres-client-store.ts';
import { recordingTransport } from '../support/recording-transport.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

const Noted = message('note.taken', { schema: z.object({ n: z.number() }) });
let test: TestDatabase;
let tenant: Database;

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  tenant = openDatabase({ url: test.url, schema: 'tenant-a' });
  await test.pool.query('ALTER SCHEMA holdfast RENAME TO "tenant-a"');
  await migrate(openDatabase({ pool: test.pool }));
});
afterAll(async () => {
  await tenant.close();
  await test.drop();
});

const countIn = async (schema: string) =>
  Number((await test.pool.query(`SELECT count(*) FROM "${schema}".outbox`)).rows[0].count);

describe('a schema that was renamed, with a new one under its old name', () => {
  it('takes no message of a writer, and none goes astray', async () => {
    const outbox = createOutbox({ schema: 'tenant-a' });
    const sent = tenant.transaction((tx) => outbox.send(tx, Noted, { n: 1 }));
    await expect(sent).rejects.toMatchObject({ code: 'HF_SCHEMA_MOVED' });
    const asked = tenant.transaction((tx) =>
      outbox.send(async (text, values) => (await tx.query(text, [...values])).rows, Noted, { n: 2 }),
    );
    await expect(asked).rejects.toMatchObject({ code: 'HF_SCHEMA_MOVED' });
    expect([await countIn('holdfast'), await countIn('tenant-a')]).toEqual([0, 0]);
  });

  it('takes no start of a saga', async () => {
    const client = createPostgresClientStore({ database: tenant });
    const request = {
      id: '00000000-0000-7000-8000-000000000001',
      saga: 's',
      version: 1,
      key: 'k',
      input: '1',
      deadlineMs: null,
    };
    await expect(client.start(null, [request])).rejects.toMatchObject({ code: 'HF_SCHEMA_MOVED' });
    expect((await test.pool.query('SELECT * FROM holdfast.saga_run')).rowCount).toBe(0);
  });

  it('starts no relay, and the doctor tells why', async () => {
    const relay = createRelay({
      database: tenant,
      subscriptions: [{ name: 'main', transport: recordingTransport(), routes: [{ topics: '**', to: 'all' }] }],
    });
    onTestFinished(() => relay.stop());
    await expect(relay.prepare()).rejects.toMatchObject({ code: 'HF_SCHEMA_MOVED' });
    expect((await doctor(tenant)).findings.map(({ check }) => check)).toContain('tables.stray-functions');
  });

  it('is mended by migrate', async () => {
    const repairs: string[] = [];
    await migrate(tenant, { onRepair: ({ what }) => void repairs.push(what) });
    expect(repairs.join()).toMatch(/wrote into another schema/);
    const outbox = createOutbox({ schema: 'tenant-a' });
    await tenant.transaction((tx) => outbox.send(tx, Noted, { n: 1 }));
    await tenant.query(`SELECT "tenant-a".send('note.taken', '{"n":2}')`);
    expect([await countIn('holdfast'), await countIn('tenant-a')]).toEqual([0, 2]);
    expect((await doctor(tenant)).findings.map(({ check }) => check)).not.toContain('tables.stray-functions');
    expect(await migrate(tenant, { onRepair: ({ what }) => void repairs.push(what) })).toEqual([]);
    expect(repairs).toHaveLength(1);
  });
});
