/** PgBouncer between us and PostgreSQL, and other ways to it that do not work: each is told at the start, with what to do. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { on } from '../../src/inbox/handlers/handler.ts';
import { idempotent } from '../../src/inbox/idempotency/idempotency.ts';
import { doctor } from '../../src/operations/doctor/doctor.ts';
import { retryParked } from '../../src/operations/parked/interventions.ts';
import { listParked } from '../../src/operations/parked/parked.ts';
import { relayStatus } from '../../src/operations/relay/relay-status.ts';
import { sagaStatus } from '../../src/operations/sagas/saga-status.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { translateSqlError } from '../../src/postgres/sql-state.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { createSagas } from '../../src/saga/client/client.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { freePort, temporaryFolder, unprivilegedUser } from '../../src/servers/machine.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { delivery, openLab, Placed, wire, type Lab } from '../inbox/lab.ts';
import { eventually } from '../support/eventually.ts';

const PGBOUNCER = '/usr/sbin/pgbouncer';

let lab: Lab;
let bouncer: ChildProcess | undefined;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => void bouncer?.kill('SIGKILL'));
afterAll(() => lab.dispose());

/** The url of the lab's database through PgBouncer. */
async function bounced(mode: 'transaction' | 'session'): Promise<string> {
  const url = new URL(lab.test.url);
  const runAs = unprivilegedUser();
  const { path } = temporaryFolder('pgbouncer', runAs);
  const port = await freePort();
  const password = url.password === '' ? '' : ` password=${decodeURIComponent(url.password)}`;
  const ini = join(path, 'pgbouncer.ini');
  writeFileSync(
    ini,
    `[databases]
* = host=${url.hostname} port=${url.port} user=${decodeURIComponent(url.username)}${password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${mode}
`,
  );
  bouncer = spawn(PGBOUNCER, [ini], { ...runAs, stdio: 'ignore' });
  await eventually(
    'pgbouncer',
    () =>
      new Promise<boolean>((resolve) => {
        const socket = connect({ host: '127.0.0.1', port }, () => {
          socket.destroy();
          resolve(true);
        });
        socket.on('error', () => resolve(false));
      }),
  );
  return Object.assign(new URL(lab.test.url), { hostname: '127.0.0.1', port: String(port) }).href;
}

const flow = saga({ name: 'flow', input: z.null(), steps: {}, run: () => Promise.resolve('end') });

describe.skipIf(!existsSync(PGBOUNCER))('behind PgBouncer', () => {
  it('in transaction mode, relays and workers are refused before they set anything; consumers work and leave no trace', async () => {
    const database = openDatabase({ url: await bounced('transaction') });
    const refused = { code: 'HF_DATABASE_POOLED' };
    const subscriptions = [{ name: 'main', transport: createMemoryTransport(), routes: [{ topics: '**', to: 'all' }] }];
    await expect(createRelay({ database, subscriptions }).start()).rejects.toMatchObject(refused);
    await expect(createWorker({ database, sagas: [flow] }).start()).rejects.toMatchObject(refused);
    const shipping = lab.make({
      database,
      handlers: [
        on(Placed, async (_order, { tx, message }) => {
          await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, 'done']);
        }),
      ],
    });
    await shipping.handle(delivery(wire()));
    expect(await lab.effects()).toHaveLength(1);
    // The one session that all of them have shared, and that a neighbour gets next.
    const traces = async () =>
      (
        await database.query<{ trace: string }>(
          `SELECT name AS trace FROM pg_settings WHERE source = 'session'
             AND name NOT IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')
           UNION ALL SELECT name FROM pg_prepared_statements UNION ALL SELECT pg_listening_channels()
           UNION ALL SELECT locktype FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`,
        )
      ).rows;
    expect(await traces()).toEqual([]);

    // All else that is allowed there: parking, redrives, pruning, senders, starts of sagas, acts and looks of people, migrations.
    const failing = lab.make(
      {
        database,
        ordered: true,
        retry: { attempts: 1 },
        handlers: [on(Placed, () => Promise.reject(new Error('no')))],
      },
      'failing',
    );
    await failing.handle(delivery(wire({ key: 'k' })));
    await failing.tickParked();
    await failing.tickPrune();
    await retryParked(database, { all: true }, { actor: 'ann' });
    await database.transaction((tx) => idempotent(tx, { key: 'key', fingerprint: 'print' }, () => 'answer'));
    await database.transaction((tx) => createOutbox().send(tx, Placed, { orderId: 'o', n: 1 }));
    const sagas = createSagas({ database, sagas: [flow] });
    await (await sagas.start(flow, null)).cancel();
    await migrate(database);
    await Promise.all([relayStatus(database), sagaStatus(database), listParked(database)]);
    const found = async (asked: typeof database) => (await doctor(asked)).findings.map(({ check }) => check);
    expect(await found(database)).toContain('postgres.pooler');
    expect(await found(lab.database)).not.toContain('postgres.pooler');
    expect(await traces()).toEqual([]);
    await database.close();
  });

  it('in session mode, a worker runs', async () => {
    const database = openDatabase({ url: await bounced('session') });
    const worker = createWorker({ database, sagas: [flow] });
    await worker.start();
    const run = await worker.sagas.start(flow, null);
    expect(await run.result({ timeout: '20s' })).toBe('end');
    await worker.stop();
    await database.close();
  });
});

describe('a way to PostgreSQL that does not work', () => {
  it.each([
    'postgres://u:p@one:5432,two:5432/db',
    'postgres://one,two/db',
    'postgres:///db?host=one,two',
    'postgres:///db?host=one%2Ctwo',
  ])('over several hosts is refused: %s', (url) => {
    expect(() => openDatabase({ url })).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    expect(() => openDatabase({ pool: { connectionString: url } })).toThrow(/several hosts/);
  });

  it('is no list of hosts because a password or an option has a comma', () => {
    expect(() => openDatabase({ url: 'postgres://u:a,b@one/db?options=-c%20search_path%3Da,b' })).not.toThrow();
  });

  it('with a certificate that is not trusted, or without TLS at the other end, is explained', async () => {
    const client = new Client({ connectionString: `${lab.test.url}?sslmode=require` });
    client.on('error', () => {});
    const error: unknown = await client.connect().catch((reason: unknown) => reason);
    expect(translateSqlError(error)).toMatchObject({ code: 'HF_DATABASE_TLS' });
    for (const code of [
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'CERT_HAS_EXPIRED',
      'ERR_TLS_CERT_ALTNAME_INVALID',
    ])
      expect(translateSqlError(Object.assign(new Error('self-signed certificate'), { code }))).toMatchObject({
        code: 'HF_DATABASE_TLS',
        cause: { code },
      });
  });
});
