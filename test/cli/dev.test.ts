/** `holdfast dev` in a project of its own: without a database, without a broker, until it is ended or killed. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { dataFolder } from '../../src/cli/dev/home.ts';
import { isAlive } from '../../src/servers/process-identity.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase } from '../support/servers.ts';
import { holdfast, holdfastDev, installedProject, type DevRun } from './process.ts';

const SAGA = `
  import { emit, message, saga, step } from 'holdfast';
  import { z } from 'zod';
  export const OrderPlaced = message('order.placed', { schema: z.object({ orderId: z.string() }), key: (order) => order.orderId });
  export const placeOrder = saga({
    name: 'place-order',
    input: z.object({ orderId: z.string(), waits: z.boolean().default(false) }),
    signals: { approved: z.object({}) },
    steps: { charge: step({ run: () => 'first code' }), tell: emit(OrderPlaced), ship: step({ run: () => 'first code' }) },
    async run({ input, steps, waitFor }) {
      await steps.charge();
      await steps.tell({ orderId: input.orderId });
      if (input.waits) await waitFor('approved');
      return steps.ship();
    },
  });`;

const FILES = {
  'package.json': '{ "type": "module" }',
  'holdfast.config.ts': `
    import { defineConfig } from 'holdfast';
    export default defineConfig({ sagas: 'sagas', consumers: 'consumers', routes: [{ topics: 'order.*', to: 'billing' }] });`,
  'sagas/place-order.ts': SAGA,
  'consumers/billing.ts': `
    import { createConsumer, on, openDatabase } from 'holdfast';
    import { createBullmqPostgresTransport } from 'holdfast/bullmq';
    import { OrderPlaced } from '../sagas/place-order.ts';
    const url = process.env['DATABASE_URL'] ?? '';
    export const billing = createConsumer('billing', {
      database: openDatabase({ url }),
      transport: createBullmqPostgresTransport({ connection: url }),
      handlers: [on(OrderPlaced, async ({ orderId }, { tx }) => void (await tx.query('SELECT $1::text', [orderId])))],
    });`,
  // Stays until it is ended, and has a child of its own, as an npm script has.
  'app.mjs': `
    import { spawn } from 'node:child_process';
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' });
    console.log(JSON.stringify({ pids: [process.pid, child.pid], url: process.env.DATABASE_URL }));`,
};

let project: string;
let data: string;
let run: DevRun | undefined;

beforeAll(async () => {
  project = await installedProject(FILES);
  data = dataFolder(join(project, '.holdfast'));
});
afterEach(async () => {
  run?.child.kill('SIGKILL');
  await run?.exit;
});
afterAll(() => rmSync(data, { recursive: true, force: true }));

async function start(): Promise<DevRun> {
  run = await holdfastDev(['--port', '0', '--', 'node', 'app.mjs'], { cwd: project });
  await run.event({ event: 'ready' });
  return run;
}

/** What must not be left: the program of the project and its child, the server, and our own. */
async function processesOf(dev: DevRun): Promise<readonly number[]> {
  const { line } = await dev.event({ event: 'printed', by: 'app' });
  const { pids } = JSON.parse(String(line)) as { pids: number[] };
  const server = Number.parseInt(readFileSync(join(data, 'data', 'postmaster.pid'), 'utf8'), 10);
  const services = spawnSync('pgrep', ['-P', String(dev.child.pid)], { encoding: 'utf8' })
    .stdout.trim()
    .split('\n');
  return [...pids, server, dev.child.pid ?? 0, ...services.map(Number)];
}

const startRun = (input: object, key: string) =>
  holdfast(['saga', 'start', 'place-order', '--key', key, '--input', JSON.stringify(input)], { cwd: project });
const happened = (what: RegExp, key: string) => ({ event: 'happened', key, what });

it('brings a database, runs what the project has, and says what happens; other commands of the folder find it', async () => {
  const dev = await start();
  const ready = await dev.event({ event: 'ready' });
  expect(ready).toMatchObject({ sagas: ['place-order'], consumers: ['billing'], routes: ['order.* → billing'] });
  expect(JSON.parse(String((await dev.event({ event: 'printed', by: 'app' }))['line']))).toMatchObject({
    url: ready['databaseUrl'],
  });

  expect(await startRun({ orderId: 'o-1' }, 'o-1')).toMatchObject({ code: 0 });
  for (const what of [/^started/, /^charge done/, /^published/, /^handled order\.placed/, /^completed/])
    expect(await dev.event(happened(what, 'o-1'))).toBeDefined();
  const response = await fetch(`${String(ready['dashboard'])}api/runs?key=o-1`);
  expect(await response.json()).toMatchObject({ items: [{ saga: 'place-order', key: 'o-1', status: 'completed' }] });

  const second = await holdfast(['dev', '--json'], { cwd: project });
  expect(second.code).toBe(2);
  expect(second.stdout).toMatch(new RegExp(`runs in this folder already, as process ${dev.child.pid}\\b`));

  const left = await processesOf(dev);
  dev.child.kill('SIGINT');
  expect(await dev.exit).toBe(0);
  expect(left.filter(isAlive)).toEqual([]);
});

it('starts again when code changes, and runs that wait go on with it', async () => {
  const dev = await start();
  // What was there before it was ended is there.
  expect((await holdfast(['saga', 'show', 'o-1'], { cwd: project })).stdout).toMatch(/completed/);
  await startRun({ orderId: 'o-2', waits: true }, 'o-2');
  await dev.event(happened(/^waits for the signal approved/, 'o-2'));

  const broken = dev.events.length;
  writeFileSync(join(project, 'sagas/place-order.ts'), 'export const placeOrder = saga({');
  await dev.event({ event: 'said', what: /waiting for a change/ }, broken);
  const mended = dev.events.length;
  writeFileSync(
    join(project, 'sagas/place-order.ts'),
    SAGA.replaceAll("ship: step({ run: () => 'first", "ship: step({ run: () => 'second"),
  );
  await dev.event({ event: 'said', what: /^reloaded: place-order, billing/ }, mended);

  await holdfast(['saga', 'signal', 'o-2', 'approved', '--payload', '{}'], { cwd: project });
  await dev.event(happened(/^completed/, 'o-2'));
  expect((await holdfast(['saga', 'show', 'o-2', '--json'], { cwd: project })).stdout).toMatch(
    /"result":"second code"/,
  );
});

it('gives each of several that start at once a dashboard of its own', async () => {
  const folders = await Promise.all(
    [1, 2, 3].map(() => installedProject({ ...FILES, 'holdfast.config.ts': `export default {};` })),
  );
  const named = await createTestDatabase();
  const all = await Promise.all(folders.map((cwd) => holdfastDev([], { cwd, env: { DATABASE_URL: named.url } })));
  try {
    const addresses = await Promise.all(all.map(async (each) => (await each.event({ event: 'ready' }))['dashboard']));
    expect(new Set(addresses).size).toBe(3);
    for (const address of addresses) expect((await fetch(`${String(address)}api/overview`)).status).toBe(200);
  } finally {
    for (const each of all) each.child.kill('SIGTERM');
    await Promise.all(all.map((each) => each.exit));
    await named.drop();
  }
});

it('takes the database that is named, with the dashboard and no server of its own', async () => {
  const database = await createTestDatabase();
  const cwd = await installedProject({ ...FILES, 'holdfast.config.ts': `export default { sagas: 'sagas' };` });
  run = await holdfastDev(['--port', '0'], { cwd, env: { DATABASE_URL: database.url } });
  const ready = await run.event({ event: 'ready' });
  expect(ready).toMatchObject({ databaseUrl: database.url, sagas: ['place-order'], consumers: [], routes: [] });
  const read = async (path: string): Promise<object> =>
    (await (await fetch(`${String(ready['dashboard'])}api/${path}`)).json()) as object;
  expect(await read('overview')).toMatchObject({ relay: { subscriptions: [] } });
  // What the page draws, and who runs it.
  expect(await read('sagas')).toMatchObject({ known: true });
  expect(await read('workers')).toMatchObject({ items: [{ live: true }] });
  expect(existsSync(join(cwd, '.holdfast', 'postgres'))).toBe(false);
  // An open page does not hold up the stop.
  const live = await fetch(`${String(ready['dashboard'])}api/live`);
  run.child.kill('SIGTERM');
  expect(await run.exit).toBe(0);
  await live.text().catch(() => '');
  await database.drop();
});

it('refuses a port that somebody has, and says what is wrong with a database before it starts anything', async () => {
  const cwd = await installedProject({ 'package.json': '{}' });
  const database = await createTestDatabase();
  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
  const { port } = blocker.address() as AddressInfo;
  const taken = await holdfast(['dev', '--port', String(port)], { cwd, env: { DATABASE_URL: database.url } });
  expect(taken).toMatchObject({ code: 2, stderr: expect.stringMatching(`Port ${port} is in use`) });
  blocker.close();
  await database.drop();
  const gone = await holdfast(['dev'], { cwd, env: { DATABASE_URL: database.url } });
  expect(gone).toMatchObject({ code: 3, stderr: expect.stringMatching(/does not exist/) });
});

it('takes another port when somebody had its own for a moment', async () => {
  // In the process with the services, the first time only: by the time that dev looks, it is free again.
  const taker = `
    import { existsSync, writeFileSync } from 'node:fs';
    import { createServer } from 'node:net';
    import { saga } from 'holdfast';
    import { z } from 'zod';
    const port = Number(process.argv.at(-1));
    if (!existsSync('taken')) createServer().listen(port, '127.0.0.1', () => writeFileSync('taken', ''));
    export const idle = saga({ name: 'idle', input: z.object({}), steps: {}, run: async () => 'done' });`;
  const cwd = await installedProject({ 'package.json': '{ "type": "module" }', 'sagas/idle.ts': taker });
  const database = await createTestDatabase();
  run = await holdfastDev(['--port', '0', '--sagas', 'sagas'], { cwd, env: { DATABASE_URL: database.url } });
  expect(await run.event({ event: 'ready' })).toMatchObject({ sagas: ['idle'] });
  expect(existsSync(join(cwd, 'taken'))).toBe(true);
  run.child.kill('SIGTERM');
  expect(await run.exit).toBe(0);
  await database.drop();
});

it('leaves nothing running when it is killed, and begins where it was', async () => {
  const dev = await start();
  await startRun({ orderId: 'o-3', waits: true }, 'o-3');
  await dev.event(happened(/^waits for the signal approved/, 'o-3'));
  const left = await processesOf(dev);
  dev.child.kill('SIGKILL');
  await dev.exit;
  await eventually('all of it to be gone', async () => left.filter(isAlive).length === 0);

  const again = await start();
  await holdfast(['saga', 'signal', 'o-3', 'approved', '--payload', '{}'], { cwd: project });
  await again.event(happened(/^completed/, 'o-3'));
  again.child.kill('SIGTERM');
  expect(await again.exit).toBe(0);
});
