import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import type { DatabaseOptions } from '../../src/postgres/pool-settings.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let server: TestDatabase;
let database: Database;
const idleErrors: Error[] = [];
let onIdleError: () => void = () => {};

beforeAll(async () => {
  server = await createTestDatabase();
  database = openDatabase({
    url: server.url,
    applicationName: 'tested',
    max: 3,
    onIdleError: (error) => {
      idleErrors.push(error);
      onIdleError();
    },
  });
  await database.query('CREATE TABLE item (id int PRIMARY KEY)');
  // Ends its own connection when the deferred check runs, in the middle of COMMIT.
  await database.query(`CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$`);
  await database.query('CREATE TABLE cutter (id int)');
  await database.query(
    'CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON cutter DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut()',
  );
  await database.query('CREATE TABLE late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)');
});
afterAll(async () => {
  await database.close();
  await database.close();
  await server.drop();
});

async function items(): Promise<number> {
  return (await server.pool.query('SELECT * FROM item')).rows.length;
}

const backendPid = async (client: { query(text: string): Promise<{ rows: { pid: number }[] }> }): Promise<number> =>
  (await client.query('SELECT pg_backend_pid() AS pid')).rows[0]?.pid ?? 0;

describe('transaction', () => {
  test('commits what its function did and returns its result', async () => {
    const result = await database.transaction(async (client) => {
      await client.query('INSERT INTO item VALUES (1)');
      return 'done';
    });
    expect(result).toBe('done');
    expect(await items()).toBe(1);
  });

  test('rolls back when its function rejects, and gives the very error', async () => {
    const error = new Error('no');
    const before = await items();
    await expect(
      database.transaction(async (client) => {
        await client.query('INSERT INTO item VALUES (2)');
        throw error;
      }),
    ).rejects.toBe(error);
    expect(await items()).toBe(before);
  });

  test('a failed statement that was swallowed does not pass for a commit', async () => {
    await expect(
      database.transaction(async (client) => {
        await client.query('SELECT 1/0').catch(() => undefined);
      }),
    ).rejects.toMatchObject({ code: 'HF_TRANSACTION_ABORTED' });
  });

  test('isolation and read only are as asked', async () => {
    const settings = await database.transaction(
      async (client) =>
        (
          await client.query<{ isolation: string; ro: string }>(
            "SELECT current_setting('transaction_isolation') AS isolation, current_setting('transaction_read_only') AS ro",
          )
        ).rows[0],
      { isolation: 'repeatable read', readOnly: true },
    );
    expect(settings).toEqual({ isolation: 'repeatable read', ro: 'on' });
    await expect(database.transaction(async () => {}, { isolation: 'chaos' } as object)).rejects.toMatchObject({
      code: 'HF_CONFIG',
    });
    await expect(database.transaction(async () => {}, { isolaton: 'serializable' } as object)).rejects.toMatchObject({
      code: 'HF_OPTION_UNKNOWN',
    });
  });

  test('a connection that breaks during COMMIT leaves the outcome in doubt', async () => {
    await expect(
      database.transaction(async (client) => {
        await client.query('INSERT INTO cutter VALUES (1)');
      }),
    ).rejects.toMatchObject({ code: 'HF_COMMIT_IN_DOUBT' });
    expect((await database.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  test('a COMMIT that the server refuses is no doubt', async () => {
    await expect(
      database.transaction(async (client) => {
        await client.query('INSERT INTO late VALUES (1), (1)');
      }),
    ).rejects.toMatchObject({ code: '23505' });
  });
});

describe('connections', () => {
  test('one that breaks while it is held, between statements, neither ends the process nor comes back', async () => {
    const pid = await database.withConnection(async (client) => {
      const own = await backendPid(client);
      const gone = new Promise((resolve) => {
        client.once('end', resolve);
      });
      await server.pool.query('SELECT pg_terminate_backend($1)', [own]);
      await gone;
      return own;
    });
    expect(await database.withConnection(backendPid)).not.toBe(pid);
  });

  test('one that breaks while idle is reported and replaced', async () => {
    const pid = await database.withConnection(backendPid);
    const reported = new Promise<void>((resolve) => {
      onIdleError = resolve;
    });
    await server.pool.query('SELECT pg_terminate_backend($1)', [pid]);
    await reported;
    expect(idleErrors.length).toBeGreaterThan(0);
    expect(await database.withConnection(backendPid)).not.toBe(pid);
  });

  test('one that comes back with an open transaction is not given to the next', async () => {
    const pid = await database.withConnection(async (client) => {
      await client.query('BEGIN');
      return backendPid(client);
    });
    const next = await Promise.all([1, 2, 3].map(async () => database.withConnection(backendPid)));
    expect(next).not.toContain(pid);
  });

  test('a dedicated one is outside the pool, and tells once when it is lost', async () => {
    let told = 0;
    let heard = (): void => {};
    const lost = new Promise<void>((resolve) => {
      heard = resolve;
    });
    const client = await database.dedicatedConnection({
      onLost: () => {
        told += 1;
        heard();
      },
    });
    const ended = new Promise((resolve) => {
      client.once('end', resolve);
    });
    const { rows } = await client.query("SELECT current_setting('application_name') AS name");
    expect(rows).toEqual([{ name: 'tested' }]);
    await server.pool.query('SELECT pg_terminate_backend($1)', [await backendPid(client)]);
    await lost;
    await ended;
    expect(told).toBe(1);
  });

  test('a dedicated one that is ended on purpose is not lost', async () => {
    let told = 0;
    const client = await database.dedicatedConnection({
      onLost: () => {
        told += 1;
      },
    });
    await client.end();
    expect(told).toBe(0);
  });

  test('the statement timeout is kept by the server', async () => {
    const impatient = openDatabase({ url: server.url, statementTimeout: '50ms' });
    await expect(impatient.query('SELECT pg_sleep(30)')).rejects.toMatchObject({ code: '57014' });
    await impatient.close();
  });
});

describe('options', () => {
  test('a given pool is used and left open', async () => {
    const borrowed = openDatabase({ pool: server.pool });
    expect(borrowed.pool).toBe(server.pool);
    const client = await borrowed.dedicatedConnection({ onLost: () => {} });
    expect(await backendPid(client)).toBeGreaterThan(0);
    await client.end();
    await borrowed.close();
    expect((await server.pool.query('SELECT 1')).rowCount).toBe(1);
  });

  test.each<[object, string]>([
    [{ schema: "x'; DROP" }, 'HF_CONFIG'],
    [{ max: 0 }, 'HF_CONFIG'],
    [{ connectTimeout: 'soon' }, 'HF_DURATION'],
    [{ conectTimeout: '1s' }, 'HF_OPTION_UNKNOWN'],
  ])('%j is refused with %s', (options, code) => {
    expect(() => openDatabase(options as DatabaseOptions)).toThrow(expect.objectContaining({ code }));
  });
});
