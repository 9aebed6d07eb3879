/** A copy of a database: nothing that starts on it goes on with what the original does, until a person says so. */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { doctor } from '../../src/operations/doctor/doctor.ts';
import { adopt } from '../../src/operations/doctor/environment.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { judgeEnvironment } from '../../src/postgres/environment.ts';
import { createRelay, type Relay } from '../../src/relay/relay.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { recordingTransport, type RecordingTransport } from '../support/recording-transport.ts';
import { createTestDatabase, uniquePrefix, type TestDatabase } from '../support/servers.ts';

const Noted = message('note.taken', { schema: z.object({ n: z.number() }) });
const outbox = createOutbox();
let original: TestDatabase;
const copies: string[] = [];

beforeAll(async () => {
  original = await createTestDatabase({ migrate: true });
  const database = openDatabase({ url: original.url });
  const { relay } = relayOn(database);
  await relay.prepare();
  await database.transaction((tx) => outbox.send(tx, Noted, { n: 1 }));
  await relay.stop();
  await database.close();
  await original.pool.end();
});
afterAll(async () => {
  await asAdmin(async (client) => {
    for (const name of copies) await client.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await client.query(`DROP DATABASE ${new URL(original.url).pathname.slice(1)} WITH (FORCE)`);
  });
});

async function asAdmin(use: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client({ connectionString: Object.assign(new URL(original.url), { pathname: '/postgres' }).href });
  await client.connect();
  try {
    await use(client);
  } finally {
    await client.end();
  }
}

async function copy(options: { readonly environment?: string } = {}): Promise<Database> {
  const name = uniquePrefix('copy').replaceAll('-', '_');
  copies.push(name);
  await asAdmin(async (client) => {
    await client.query(`CREATE DATABASE ${name} TEMPLATE ${new URL(original.url).pathname.slice(1)}`);
  });
  const database = openDatabase({
    url: Object.assign(new URL(original.url), { pathname: `/${name}` }).href,
    ...options,
  });
  onTestFinished(() => database.close());
  return database;
}

function relayOn(database: Database): { relay: Relay; transport: RecordingTransport } {
  const transport = recordingTransport();
  const routes = [{ topics: '**', to: 'all' }];
  return { transport, relay: createRelay({ database, subscriptions: [{ name: 'main', transport, routes }] }) };
}

describe('on a copy of a database', () => {
  it('no relay, no worker and no consumer starts, and the doctor says why', async () => {
    const database = await copy();
    const { relay, transport } = relayOn(database);
    await expect(relay.start()).rejects.toMatchObject({ code: 'HF_ENVIRONMENT' });
    expect(transport.sent).toEqual([]);
    const worker = createWorker({
      database,
      sagas: [saga({ name: 's', input: z.null(), steps: {}, run: async () => null })],
    });
    await expect(worker.start()).rejects.toMatchObject({ code: 'HF_ENVIRONMENT' });
    const notes = createConsumer('notes', {
      database,
      transport: createMemoryTransport(),
      handlers: [on(Noted, async () => {})],
    });
    await expect(notes.start()).rejects.toMatchObject({ code: 'HF_ENVIRONMENT' });
    const found = (await doctor(database)).findings.find(({ check }) => check === 'schema.environment');
    expect(found).toMatchObject({ level: 'error' });
  });

  it('all goes on once it is adopted, and what is pending is told', async () => {
    const database = await copy();
    const adopted = await adopt(database, { actor: 'ann', reason: 'restored' });
    expect(adopted).toMatchObject({ name: null, pending: { messages: 1, scheduled: 0, runs: 0 } });
    const { relay, transport } = relayOn(database);
    await relay.prepare();
    await relay.tick();
    expect(transport.sent).toHaveLength(1);
    await relay.stop();
    const { rows } = await database.query('SELECT actor, action, reason FROM holdfast.audit');
    expect(rows).toEqual([{ actor: 'ann', action: 'environment.adopt', reason: 'restored' }]);
  });

  it('its name, once the tables have one, lets a move go on and holds another one off', async () => {
    const named = await copy({ environment: 'production' });
    await expect(relayOn(named).relay.prepare()).rejects.toMatchObject({ code: 'HF_ENVIRONMENT' });
    await adopt(named, { actor: 'ann', reason: 'moved' });
    await relayOn(named).relay.prepare();
    // As if they had been brought here from another cluster.
    await named.query('UPDATE holdfast.environment SET system_identifier = 1');
    await relayOn(named).relay.prepare();
    const url = named.pool.options.connectionString;
    for (const [environment, starts] of [
      ['staging', false],
      ['production', true],
      [undefined, true],
    ] as const) {
      const other = openDatabase({ url, environment });
      const start = relayOn(other).relay.prepare();
      if (starts) await start;
      else await expect(start).rejects.toMatchObject({ code: 'HF_ENVIRONMENT' });
      await other.close();
    }
  });
});

it.each([
  [null, null, true, true],
  [null, null, false, false],
  [null, 'production', true, true],
  [null, 'production', false, false],
  ['production', 'production', false, true],
  ['staging', 'production', true, false],
  ['production', null, false, false],
])('configured %s, stored %s, same place %s: goes on %s', (given, stored, samePlace, goesOn) => {
  expect(judgeEnvironment({ given, stored, samePlace }) === null).toBe(goesOn);
});
