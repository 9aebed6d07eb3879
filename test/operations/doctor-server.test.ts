/**
 * The doctor's looks at the server, each at a real one in that state, and all of them at one that is well. What it shows as repair is run,
 * and must mend it.
 */
import type { Socket } from 'node:net';
import { Client } from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { checkConnections, judgeClocks } from '../../src/operations/doctor/doctor-connections.ts';
import { checkSessions } from '../../src/operations/doctor/doctor-horizon.ts';
import { checkServer } from '../../src/operations/doctor/doctor-postgres.ts';
import { checkSettings } from '../../src/operations/doctor/doctor-settings.ts';
import { doctor } from '../../src/operations/doctor/doctor.ts';
import { limitedDatabase } from '../../src/operations/doctor/limited-database.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { eventually } from '../support/eventually.ts';
import { namesOf, useDoctorLab } from './doctor-lab.ts';

const lab = useDoctorLab();
const { look, run, settled } = lab;

describe('a server that is well, with a relay and a consumer at work', () => {
  it('has nothing to be told of', async () => {
    const { database } = lab;
    const transport = { ...createMemoryTransport(), address: 'memory' };
    const relay = createRelay({
      database,
      subscriptions: [{ name: 'main', transport, routes: [{ topics: '**', to: 'all' }] }],
    });
    await relay.start();
    const consumer = createConsumer('shipping', {
      database,
      transport,
      destination: 'all',
      handlers: [],
      ignore: ['**'],
    });
    await consumer.start();
    await lab.admin.query(`SELECT holdfast.send('order.placed', '{}', key => 'k')`);
    const { findings } = await doctor(lab.database);
    expect(findings).toEqual([]);
    await consumer.stop();
    await relay.stop();
  });
});

describe('what holds the xmin horizon', () => {
  it('a session, since when, and how many transactions it holds back', async () => {
    const holder = new Client({ connectionString: lab.server.url, application_name: 'report' });
    holder.on('error', () => {});
    await holder.connect();
    await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
    const [found, ...others] = await look(checkSessions, { options: { longTransaction: 0 } });
    expect(others).toEqual([]);
    expect(found).toMatchObject({ level: 'warn', check: 'postgres.long-transaction' });
    expect(found?.what).toMatch(/report.* since \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ, .*holds back \d+ transactions/);
    await run(found?.repair);
    await eventually(
      'its end',
      async () => (await look(checkSessions, { options: { longTransaction: 0 } })).length === 0,
    );
    await holder.end().catch(() => {});
  });

  it('a prepared transaction, with its quotes', async () => {
    await lab.admin.query(`BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'it''s'`);
    const found = await look(checkSessions, { options: { longTransaction: 0 } });
    expect(namesOf(found)).toEqual(['warn postgres.prepared-transaction']);
    expect(found[0]?.what).toMatch(/'it''s' of postgres was prepared at/);
    expect(await look(checkSessions)).toEqual([]);
    await run(found[0]?.repair);
    expect(await look(checkSessions, { options: { longTransaction: 0 } })).toEqual([]);
  });

  it('a slot that nobody reads, for its transactions and for its WAL', async () => {
    await lab.admin.query(`SELECT pg_create_logical_replication_slot('left_behind', 'pgoutput')`);
    expect(await look(checkSessions)).toEqual([]);
    const limits = { horizonXids: -1, slotWalBytes: -1 };
    const found = await look(checkSessions, { limits });
    expect(namesOf(found)).toEqual(['warn postgres.replication-slot', 'warn postgres.slot-wal']);
    await run(found[0]?.repair);
    expect(await look(checkSessions, { limits })).toEqual([]);
  });

  it('a query on a standby', async () => {
    const standby = await feedbackOfStandby();
    try {
      await eventually('its feedback', async () => {
        const found = await look(checkSessions, { limits: { horizonXids: -1 } });
        return namesOf(found).includes('warn postgres.standby-feedback');
      });
      expect(await look(checkSessions)).toEqual([]);
    } finally {
      standby.destroy();
    }
  });
});

/** As far as a standby is concerned that says how far back its queries look, by the protocol of replication. */
async function feedbackOfStandby(): Promise<Socket> {
  const sender = new Client({
    connectionString: lab.server.url,
    application_name: 'standby-1',
    ...({ replication: 'true' } as object),
  });
  sender.on('error', () => {});
  await sender.connect();
  const { rows } = await lab.admin.query<{ lsn: string; xmin: string }>(
    `SELECT pg_current_wal_lsn()::text AS lsn, pg_snapshot_xmin(pg_current_snapshot())::text AS xmin`,
  );
  const [{ lsn, xmin } = { lsn: '0/0', xmin: '0' }] = rows;
  const { stream } = (sender as unknown as { connection: { stream: Socket } }).connection;
  const command = Buffer.from(`START_REPLICATION PHYSICAL ${lsn}\0`);
  const head = Buffer.alloc(5);
  head.write('Q');
  head.writeInt32BE(command.length + 4, 1);
  stream.write(Buffer.concat([head, command]));
  // Hot standby feedback: the time, its xmin and epoch, and those of catalogs, which it leaves out.
  const body = Buffer.alloc(1 + 8 + 16);
  body.write('h');
  body.writeUInt32BE(Number(BigInt(xmin) & 0xff_ff_ff_ffn), 9);
  body.writeUInt32BE(Number(BigInt(xmin) >> 32n), 13);
  const message = Buffer.alloc(5);
  message.write('d');
  message.writeInt32BE(body.length + 4, 1);
  setTimeout(() => stream.write(Buffer.concat([message, body])), 200);
  return stream;
}

describe('settings', () => {
  it.each([
    ['statement_timeout', '1s', 'warn settings.timeout'],
    ['idle_in_transaction_session_timeout', '500', 'warn settings.timeout'],
    ['lock_timeout', '10ms', 'warn settings.timeout'],
    ['idle_session_timeout', '1s', 'warn settings.timeout'],
    ['default_transaction_isolation', 'serializable', 'warn settings.isolation'],
    ['default_transaction_read_only', 'on', 'warn settings.read-only'],
    ['synchronous_commit', 'off', 'warn settings.synchronous-commit'],
    ['session_replication_role', 'replica', 'error settings.replication-role'],
  ])('%s of a role that may use the tables, and of no other', async (name, value, told) => {
    await lab.admin.query(`CREATE ROLE "a user"; CREATE ROLE other; ALTER ROLE other SET ${name} = '${value}'`);
    await lab.admin.query(`ALTER ROLE "a user" IN DATABASE holdfast SET ${name} = '${value}'`);
    try {
      expect(await look(checkSettings)).toEqual([]);
      await lab.admin.query('GRANT USAGE ON SCHEMA holdfast TO "a user"');
      const found = await look(checkSettings);
      expect(namesOf(found)).toEqual([told]);
      expect(found[0]?.what).toMatch(/for the role a user in the database holdfast/);
      await run(found[0]?.repair);
      expect(await look(checkSettings)).toEqual([]);
    } finally {
      await lab.admin.query('DROP OWNED BY "a user"; DROP ROLE "a user"; DROP ROLE other');
    }
  });

  it('of the whole server, and of a database; none that whoever opened it has set', async () => {
    await lab.admin.query(`ALTER SYSTEM SET statement_timeout = '2s'`);
    await lab.admin.query('SELECT pg_reload_conf()');
    await lab.admin.query(`ALTER DATABASE holdfast SET default_transaction_isolation = 'repeatable read'`);
    await settled('statement_timeout', '2s');
    const fresh = openDatabase({ url: lab.server.url });
    const found = await look(checkSettings, { on: fresh });
    await fresh.close();
    expect(namesOf(found)).toEqual(['warn settings.timeout', 'warn settings.isolation']);
    expect(found.map(({ what }) => what)).toEqual([
      expect.stringMatching(/'2000' for the whole server/),
      expect.stringMatching(/for the database holdfast/),
    ]);
    for (const { repair } of found) await run(repair);
    await settled('statement_timeout', '0');
    const own = openDatabase({ url: lab.server.url, statementTimeout: '2s' });
    expect(await look(checkSettings, { on: own })).toEqual([]);
    await own.close();
  });

  it.each([
    ['track_counts', 'off', 'warn postgres.track-counts'],
    ['autovacuum', 'off', 'warn postgres.autovacuum'],
    ['full_page_writes', 'off', 'warn postgres.full-page-writes'],
    ['fsync', 'off', 'error postgres.fsync'],
  ])('%s off', async (name, value, told) => {
    await lab.admin.query(`ALTER SYSTEM SET ${name} = ${value}`);
    await lab.admin.query('SELECT pg_reload_conf()');
    await settled(name, value);
    const found = await look(checkServer);
    expect(namesOf(found)).toEqual([told]);
    await run(found[0]?.repair);
    await settled(name, 'on');
    expect(await look(checkServer)).toEqual([]);
  });

  it('a synchronous standby that is not there, which holds up every commit', async () => {
    await lab.admin.query('SET synchronous_commit = local');
    await lab.admin.query(`ALTER SYSTEM SET synchronous_standby_names = 'nobody'`);
    await lab.admin.query('SELECT pg_reload_conf()');
    await settled('synchronous_standby_names', 'nobody');
    const found = await look(checkServer);
    expect(namesOf(found)).toEqual(['error postgres.synchronous-standby']);
    await run(found[0]?.repair);
    await settled('synchronous_standby_names', '');
    expect(await look(checkServer)).toEqual([]);
    await lab.admin.query('RESET synchronous_commit');
  });

  it('a role at its limit of connections', async () => {
    await lab.admin.query(
      `CREATE ROLE narrow LOGIN PASSWORD 'x' CONNECTION LIMIT 1; GRANT USAGE ON SCHEMA holdfast TO narrow`,
    );
    expect(await look(checkServer)).toEqual([]);
    const url = Object.assign(new URL(lab.server.url), { username: 'narrow', password: 'x' });
    const one = new Client({ connectionString: url.href });
    await one.connect();
    const found = await look(checkServer);
    expect(namesOf(found)).toEqual(['warn postgres.role-connections']);
    expect(found[0]?.what).toBe('The role narrow has 1 of the 1 connections that it may have.');
    await run(found[0]?.repair);
    expect(await look(checkServer)).toEqual([]);
    await one.end();
    await lab.admin.query('DROP OWNED BY narrow; DROP ROLE narrow');
  });
});

describe('sessions that listen', () => {
  const clients: Client[] = [];
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.end().catch(() => {});
  });

  it('and do not take what they are sent', async () => {
    const listener = new Client({ connectionString: lab.server.url, application_name: 'sleeper' });
    listener.on('error', () => {});
    await listener.connect();
    await listener.query('LISTEN news');
    const { stream } = (listener as unknown as { connection: { stream: Socket } }).connection;
    stream.pause();
    const limits = { unreadMs: 0 };
    expect(await look(checkConnections, { limits })).toEqual([]);
    // More than sockets hold.
    for (let n = 0; n < 40; n += 1)
      await lab.admin.query(
        `SELECT pg_notify('news', repeat('x', 7000) || g || '-${n}') FROM generate_series(1, 100) AS g`,
      );
    const found = await eventually('the session to wait', async () => {
      const all = await look(checkConnections, { limits });
      return all.length > 0 && all;
    });
    expect(namesOf(found)).toEqual(['warn postgres.dead-listener']);
    expect(found[0]?.what).toMatch(/sleeper/);
    expect(await look(checkConnections)).toEqual([]);
    await run(found[0]?.repair);
    await eventually('its end', async () => (await look(checkConnections, { limits })).length === 0);
    stream.destroy();
  });

  it('in a transaction, which fills the queue', async () => {
    const listener = new Client({ connectionString: lab.server.url, application_name: 'forgetful' });
    listener.on('error', () => {});
    await listener.connect();
    await listener.query('LISTEN news');
    await listener.query('BEGIN; SELECT 1');
    await lab.admin.query(`SELECT pg_notify('news', repeat('x', 7000) || g) FROM generate_series(1, 200) AS g`);
    const limits = { notifyQueue: 0 };
    const found = await look(checkConnections, { limits });
    expect(namesOf(found)).toEqual(['warn postgres.notify-queue']);
    expect(found[0]?.what).toMatch(/forgetful/);
    expect(await look(checkConnections)).toEqual([]);
    await run(found[0]?.repair);
    await eventually('an empty queue', async () => {
      await lab.admin.query(`SELECT pg_notify('news', 'x')`);
      return (await look(checkConnections, { limits })).length === 0;
    });
  });
});

describe('clocks', () => {
  it('are compared, and the way there and back is not held against them', async () => {
    expect(await look(checkConnections)).toEqual([]);
    expect(namesOf(await look(checkConnections, { limits: { clockMs: -1 } }))).toEqual(['warn postgres.clock']);
    const at = (askedMs: number, answeredMs: number, serverMs: number) =>
      judgeClocks({ askedMs, answeredMs, serverMs }, 1_000).map(({ what }) => what);
    expect(at(0, 5_000, 2_500)).toEqual([]);
    expect(at(0, 10, 900)).toEqual([]);
    expect(at(0, 10, 3_010)).toEqual(['The clock of this process is 3.0 s behind that of PostgreSQL.']);
    expect(at(5_000, 5_010, 1_000)).toEqual(['The clock of this process is 4.0 s ahead of that of PostgreSQL.']);
  });
});

describe('the doctor itself', () => {
  it('waits for no lock, writes nothing, and leaves nothing set', async () => {
    const holder = new Client({ connectionString: lab.server.url });
    holder.on('error', () => {});
    await holder.connect();
    await holder.query('BEGIN; LOCK TABLE holdfast.outbox IN ACCESS EXCLUSIVE MODE');
    const { findings, checks } = await doctor(lab.database);
    expect(namesOf(findings)).toContain('note doctor.unfinished');
    expect(checks).toContain('queues');
    await holder.query('ROLLBACK');
    await holder.end();
    expect(namesOf((await doctor(lab.database)).findings)).not.toContain('note doctor.unfinished');
    const limited = limitedDatabase(lab.database);
    await expect(limited.query('CREATE TABLE public.mine ()')).rejects.toMatchObject({ code: '25006' });
    await expect(limited.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57014' });
    const { rows } = await lab.database.query<{ n: string }>(
      `SELECT name AS n FROM pg_settings WHERE source = 'session' AND name IN ('statement_timeout', 'lock_timeout', 'search_path', 'jit')`,
    );
    expect(rows).toEqual([]);
  });

  it('asks over one connection at a time', async () => {
    const narrow = openDatabase({ url: lab.server.url, max: 1 });
    expect(namesOf((await doctor(narrow)).findings)).not.toContain('error postgres.fsync');
    await narrow.close();
  });

  it('tells the least role what it may not see, and of the rest', async () => {
    await lab.admin.query(`CREATE ROLE least LOGIN PASSWORD 'x'`);
    const url = Object.assign(new URL(lab.server.url), { username: 'least', password: 'x' }).href;
    const least = openDatabase({ url });
    const before = await doctor(least);
    expect(new Set(namesOf(before.findings))).toEqual(new Set(['note doctor.unseen']));
    expect(before.findings.map(({ what }) => what).join('\n')).toMatch(/permission denied/);
    await lab.admin.query('GRANT pg_monitor, pg_read_all_data TO least');
    const after = await doctor(least);
    expect(namesOf(after.findings)).not.toContain('note doctor.unseen');
    await least.close();
    const wrong = openDatabase({ url: Object.assign(new URL(url), { password: 'y' }).href });
    await expect(doctor(wrong)).rejects.toMatchObject({ code: 'HF_PERMISSION' });
    await wrong.close();
    await lab.admin.query('DROP OWNED BY least; DROP ROLE least');
  });

  it('says that the database is away', async () => {
    const away = openDatabase({ url: 'postgres://127.0.0.1:1/none', connectTimeout: '1s' });
    await expect(doctor(away)).rejects.toMatchObject({ code: 'HF_DATABASE_UNAVAILABLE' });
    await away.close();
  });
});
