/**
 * createTestDatabase: what it copies, what it leaves behind, and what it says when it cannot.
 */
import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { assertSchema } from '../../../src/postgres/migrator.ts';
import { ensureTemplate } from '../../../src/testing/database/template.ts';
import { createTestDatabase, shareTestServer, type TestDatabase } from '../../../src/testing/database/test-database.ts';
import { createDatabaseOn } from '../../support/servers.ts';

const url = (): string => inject('postgresAdminUrl');
const open: TestDatabase[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.drop();
});

async function create(options: Parameters<typeof createTestDatabase>[0] = {}): Promise<TestDatabase> {
  const made = await createTestDatabase({ url: url(), ...options });
  open.push(made);
  return made;
}

async function asAdmin(sql: string): Promise<readonly Record<string, unknown>[]> {
  const client = new Client({ connectionString: url() });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

const names = async (like: string): Promise<readonly unknown[]> =>
  (await asAdmin(`SELECT datname FROM pg_database WHERE datname LIKE '${like}'`)).map(({ datname }) => datname);

describe('createTestDatabase', () => {
  it('gives each its own, migrated, also when many ask at once', async () => {
    const all = await Promise.all([create(), create(), create(), create()]);
    for (const { database } of all) await assertSchema(database);
    await all[0].database.query('CREATE TABLE mine (id int)');
    const { rows } = await all[1].database.query(`SELECT to_regclass('mine') AS mine`);
    expect(rows).toEqual([{ mine: null }]);
    expect(new Set(all.map((each) => each.url)).size).toBe(4);
  });

  it('makes one template, and none that is unfinished stays', async () => {
    const schema = `s${randomUUID().slice(0, 8)}`;
    const made = await Promise.all([ensureTemplate(url(), schema), ensureTemplate(url(), schema)]);
    expect(new Set(made).size).toBe(1);
    expect(await names(`${made[0]}%`)).toEqual([made[0]]);
    await asAdmin(`DROP DATABASE ${made[0]}`);
  });

  it('makes a template again whose making was cut short', async () => {
    const schema = `s${randomUUID().slice(0, 8)}`;
    const template = await ensureTemplate(url(), schema);
    await asAdmin(`DROP DATABASE ${template}`);
    await asAdmin(`CREATE DATABASE ${template}_unfinished`);
    await assertSchema((await create({ schema })).database);
    expect(await names(`${template}%`)).toEqual([template]);
    await asAdmin(`DROP DATABASE ${template}`);
  });

  it('leaves nothing when it is dropped, whoever is still connected', async () => {
    const made = await createTestDatabase({ url: url() });
    const guest = new Client({ connectionString: made.url });
    guest.on('error', () => {});
    await guest.connect();
    await made.drop();
    await made.drop();
    expect(await names(new URL(made.url).pathname.slice(1))).toEqual([]);
  });

  it('says what to do when the role may not, and when nobody is there', async () => {
    const role = `r${randomUUID().slice(0, 8)}`;
    await asAdmin(`CREATE ROLE ${role} LOGIN PASSWORD 'p'`);
    const poor = Object.assign(new URL(url()), { username: role, password: 'p' }).href;
    await expect(createTestDatabase({ url: poor, schema: role })).rejects.toMatchObject({
      code: 'HF_PERMISSION',
      message: expect.stringContaining('CREATEDB'),
    });
    await asAdmin(`DROP ROLE ${role}`);
    await expect(createTestDatabase({ url: 'postgres://127.0.0.1:1/postgres' })).rejects.toMatchObject({
      code: 'HF_SERVER_MISSING',
      message: expect.stringMatching(/ECONNREFUSED.*HOLDFAST_TEST_DATABASE_URL/),
    });
    await expect(createTestDatabase({ url: 'localhost' })).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(createTestDatabase({ uri: url() } as object)).rejects.toMatchObject({ code: 'HF_OPTION_UNKNOWN' });
  });

  it('has one server for a run where the runner asks for it before', async () => {
    const before = process.env['HOLDFAST_TEST_DATABASE_URL'];
    process.env['HOLDFAST_TEST_DATABASE_URL'] = url();
    try {
      const dispose = await shareTestServer();
      open.push(await createTestDatabase());
      expect(new URL(open[0]?.url ?? '').port).toBe(new URL(url()).port);
      await dispose();
      expect(process.env['HOLDFAST_TEST_DATABASE_URL']).toBe(url());
    } finally {
      if (before === undefined) delete process.env['HOLDFAST_TEST_DATABASE_URL'];
      else process.env['HOLDFAST_TEST_DATABASE_URL'] = before;
    }
  });

  it('writes nothing into the database that it was given', async () => {
    const given = await createDatabaseOn(url());
    try {
      const made = await createTestDatabase({ url: given.url });
      await made.drop();
      const { rows } = await given.pool.query(
        `SELECT count(*)::int AS n FROM pg_class WHERE relnamespace = 'public'::regnamespace`,
      );
      expect(rows).toEqual([{ n: 0 }]);
    } finally {
      await given.drop();
    }
  });
});
