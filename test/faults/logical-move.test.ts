/** A database that moves to a fresh cluster by logical replication, which carries no sequences: no message is lost. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { adopt } from '../../src/operations/doctor/environment.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { startPostgres, type PostgresServer } from '../../src/servers/postgres.ts';
import { eventually } from '../support/eventually.ts';
import { recordingTransport } from '../support/recording-transport.ts';

const Noted = message('note.taken', { schema: z.object({ n: z.number() }), key: () => 'me' });
const outbox = createOutbox();
const servers: PostgresServer[] = [];
const databases: Database[] = [];

async function cluster(): Promise<{ database: Database; url: string }> {
  const server = await startPostgres({ settings: { wal_level: 'logical' } });
  servers.push(server);
  const database = openDatabase({ url: server.url });
  databases.push(database);
  await migrate(database);
  return { database, url: server.url };
}

let old: Awaited<ReturnType<typeof cluster>>;
let fresh: Awaited<ReturnType<typeof cluster>>;

beforeAll(async () => {
  [old, fresh] = await Promise.all([cluster(), cluster()]);
}, 120_000);
afterAll(async () => {
  await Promise.all(databases.map((database) => database.close()));
  await Promise.all(servers.map((server) => server.dispose()));
});

function relayOn(database: Database) {
  const transport = recordingTransport();
  const routes = [{ topics: '**', to: 'all' }];
  return { transport, relay: createRelay({ database, subscriptions: [{ name: 'main', transport, routes }] }) };
}

async function send(database: Database, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n += 1) await database.transaction((tx) => outbox.send(tx, Noted, { n }));
}

it('loses none of the messages that are sent after the move, and takes each', { timeout: 120_000 }, async () => {
  const before = relayOn(old.database);
  await before.relay.prepare();
  await send(old.database, 1, 50);
  await before.relay.tick();
  expect(before.transport.sent).toHaveLength(50);
  await before.relay.stop();
  // As retention does.
  await old.database.query('DELETE FROM holdfast.outbox WHERE seq <= 40');

  const { rows } = await old.database.query<{ name: string }>(
    `SELECT format('holdfast.%I', relname) AS name FROM pg_class WHERE relnamespace = 'holdfast'::regnamespace AND relkind = 'r'
       AND relname NOT IN ('migration')`,
  );
  await old.database.query(`CREATE PUBLICATION move FOR TABLE ${rows.map(({ name }) => name).join(', ')}`);
  await fresh.database.query(`CREATE SUBSCRIPTION move CONNECTION '${old.url}' PUBLICATION move`);
  await eventually('all tables to be copied', async () => {
    const left = await fresh.database.query(`SELECT 1 FROM pg_subscription_rel WHERE srsubstate <> 'r'`);
    const there = await fresh.database.query('SELECT 1 FROM holdfast.subscription');
    return left.rowCount === 0 && there.rowCount === 1;
  });
  await fresh.database.query('DROP SUBSCRIPTION move');

  const after = relayOn(fresh.database);
  await expect(after.relay.prepare()).rejects.toMatchObject({ code: 'HF_ENVIRONMENT' });
  await adopt(fresh.database, { actor: 'ann', reason: 'moved' });
  await after.relay.prepare();
  await after.relay.tick();
  await send(fresh.database, 51, 110);
  for (let round = 0; round < 4; round += 1) await after.relay.tick();
  const numbers = after.transport.data<{ n: number }>().map(({ n }) => n);
  const sent = Array.from({ length: 60 }, (_, index) => index + 51);
  expect(numbers.filter((n) => n > 50)).toEqual(sent);
  await after.relay.stop();
});
