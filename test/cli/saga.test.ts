/** `holdfast saga`, `worker` and `start` as processes on a real database: what they print, what they leave behind, how they end. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import {
  emptySagas,
  runMessagesOf,
  seedRun,
  seedWorker,
  STUCK_IN_DOUBT,
  STUCK_UNDOING,
} from '../operations/saga-lab.ts';
import { eventually } from '../support/eventually.ts';
import { startTcpProxy } from '../support/faults/tcp-proxy.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { daemon, holdfast, installedSagas, type Daemon } from './process.ts';

const NOBODY = '00000000-0000-7000-8000-000000000000';

let test: TestDatabase;
let database: Database;
let env: Record<string, string>;
let sagas: string;
const running: Daemon[] = [];

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url });
  env = { DATABASE_URL: test.url, HOLDFAST_ACTOR: 'tester' };
  sagas = await installedSagas();
});
beforeEach(() => emptySagas(database));
afterEach(async () => {
  for (const each of running.splice(0)) {
    each.child.kill('SIGKILL');
    await each.exit;
  }
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

const json = async (args: readonly string[], input?: string) => {
  const { stdout, code } = await holdfast([...args, '--json'], { env, ...(input === undefined ? {} : { input }) });
  expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  return { code, data: JSON.parse(stdout) as Record<string, unknown> };
};
const text = async (...args: string[]) => holdfast(args, { env });
const audit = async () =>
  (await database.query('SELECT actor, action, subject, reason FROM holdfast.audit ORDER BY id')).rows;
async function start(verb: 'worker' | 'start', ...args: string[]): Promise<Daemon> {
  const started = await daemon(['--sagas', sagas, ...args], { env, verb });
  running.push(started);
  return started;
}
const page = async (each: Daemon, path: string) => {
  const response = await fetch(`${await each.url()}${path}`);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};
const statusOf = async (id: string) =>
  (await database.query<{ status: string }>('SELECT status FROM holdfast.saga_run WHERE id = $1', [id])).rows[0]
    ?.status;
const becomes = (id: string, status: string) =>
  eventually(`${id} to be ${status}`, async () => (await statusOf(id)) === status);
const startRun = async (input: object, ...more: string[]) =>
  (await json(['saga', 'start', 'order', '--sagas', sagas, '--input', JSON.stringify(input), ...more])).data;

describe('holdfast saga ls, show, history', () => {
  it('list and show what is there', async () => {
    expect((await text('saga', 'ls')).stdout).toMatch(/No saga has been started yet/);
    const worker = await seedWorker(database, 'w-1');
    const stuck = await seedRun(database, { ...STUCK_UNDOING, key: 'o-1' });
    const other = await seedRun(database, { saga: 'book-trip', version: 2, worker });
    expect((await json(['saga', 'ls', '--stuck'])).data).toMatchObject({
      runs: [{ id: stuck, status: 'stuck' }],
      next: null,
    });
    expect((await json(['saga', 'ls', '--status', 'running,waiting'])).data).toMatchObject({ runs: [{ id: other }] });
    expect((await json(['saga', 'ls', '--limit', '1'])).data).toMatchObject({ next: { before: expect.any(String) } });
    const list = (await text('saga', 'ls')).stdout;
    expect(list).toMatch(new RegExp(`${stuck} +place-order@1 +o-1 +stuck +.* ago +a person +no such payment`));
    expect(list).toMatch(new RegExp(`${other} +book-trip@2 +- +running +.* ago +on w-1`));
    expect(list).toMatch(/place-order: 1 stuck/);
    expect((await text('saga', 'ls', '--saga', 'none')).stdout).toMatch(/No run fits/);
    expect(await text('saga', 'ls', '--status', 'lost')).toMatchObject({ code: 2 });

    expect((await json(['saga', 'show', stuck])).data).toMatchObject({
      run: { id: stuck },
      timeline: {
        remaining: [],
        stuck: { why: 'compensation', advice: { ways: [{ command: `holdfast saga retry ${stuck}` }, {}, {}] } },
      },
    });
    expect((await text('saga', 'show', stuck)).stdout).toMatch(
      new RegExp(`✘ charge +compensate .*×20 +STUCK, gave up: no such payment[\\s\\S]*holdfast saga retry ${stuck}\\n`),
    );
    expect((await json(['saga', 'history', stuck])).data).toMatchObject({
      id: stuck,
      rows: [{ n: 0, events: [{ t: 'started' }, {}] }, {}, {}, {}],
    });
    expect((await text('saga', 'history', stuck)).stdout).toMatch(/^ *3 .* compensation failed charge/m);
    for (const verb of ['show', 'history']) {
      expect(await json(['saga', verb, NOBODY])).toMatchObject({ code: 2, data: { error: { code: 'HF_NOT_FOUND' } } });
    }
  });
});

describe('holdfast saga restart', () => {
  it('starts a run once more, by its key, and wants a reason', async () => {
    const id = await seedRun(database, { status: 'compensated', reason: 'failed', key: 'o-77' });
    expect(await text('saga', 'restart', 'o-77')).toMatchObject({ code: 2 });
    expect(await text('saga', 'restart', 'o-77', '--saga-version', 'new', '--reason', 'x')).toMatchObject({ code: 2 });
    const { stdout } = await text('saga', 'restart', 'o-77', '--reason', 'mended');
    expect(stdout).toMatch(new RegExp(`Started place-order@1 [0-9a-f-]{36} in place of ${id}`));
    expect(stdout).toMatch(/It has the key o-77 now/);
    expect(stdout).toMatch(/No live worker runs place-order@1: it waits for one/);
    expect((await text('saga', 'show', id)).stdout).toMatch(/Started once more as .*, which has its key o-77 now/);
    expect((await text('saga', 'show', 'o-77')).stdout).toContain(`Started in place of ${id}.`);
    expect(await json(['saga', 'restart', id, '--reason', 'x'])).toMatchObject({
      code: 2,
      data: { error: { code: 'HF_SAGA_RESTARTED' } },
    });
  });
});

describe('holdfast saga retry, skip, resolve, cancel, signal', () => {
  it('leave mail and audit, and want reasons', async () => {
    const compensating = await seedRun(database, STUCK_UNDOING);
    const doubt = await seedRun(database, STUCK_IN_DOUBT);
    const waiting = await seedRun(database, { status: 'waiting' });
    expect(await json(['saga', 'retry', waiting])).toMatchObject({
      code: 2,
      data: { error: { code: 'HF_SAGA_NOT_STUCK' } },
    });
    expect(await text('saga', 'skip', compensating)).toMatchObject({ code: 2 });
    expect(await text('saga', 'resolve', doubt, '--as', 'done')).toMatchObject({ code: 2 });
    expect(await text('saga', 'resolve', doubt, '--as', 'maybe', '--reason', 'x')).toMatchObject({ code: 2 });
    expect(await runMessagesOf(database)).toEqual([]);

    expect(await json(['saga', 'retry', compensating, '--reason', 'mended'])).toMatchObject({
      code: 0,
      data: { accepted: { id: compensating } },
    });
    expect((await text('saga', 'skip', compensating, 'charge', '--reason', 'voucher')).stdout).toMatch(
      /Skipped: charge/,
    );
    await json(['saga', 'resolve', doubt, '--as', 'not-done', '--reason', 'asked', '--actor', 'anna']);
    await json(['saga', 'signal', waiting, 'approved', '--payload', '-', '--id', 's-1'], '{"by": "anna"}');
    expect((await text('saga', 'cancel', waiting)).stdout).toMatch(/will be compensated/);
    expect((await runMessagesOf(database)).map(({ body }) => body)).toMatchObject([
      { kind: 'retry', actor: 'tester', reason: 'mended' },
      { kind: 'skip', call: 'charge', reason: 'voucher' },
      { kind: 'resolve', call: 'pay', as: 'not done', actor: 'anna' },
      { kind: 'signal', name: 'approved', payload: { by: 'anna' }, id: 's-1' },
      { kind: 'cancel', actor: 'tester' },
    ]);
    expect(await audit()).toMatchObject([
      { actor: 'tester', action: 'saga.retry', subject: compensating, reason: 'mended' },
      { action: 'saga.skip' },
      { actor: 'anna', action: 'saga.resolve', subject: doubt },
      { action: 'saga.signal', subject: waiting },
      { action: 'saga.cancel', subject: waiting },
    ]);
    expect((await text('saga', 'show', compensating)).stdout).toMatch(
      /2 things came in and no worker has taken it up yet/,
    );
  });
});

describe('holdfast saga start', () => {
  it('checks what it is given, and starts once for each key', async () => {
    const started = await startRun({ id: 'o-1' }, '--key', 'k-1', '--deadline', '1h');
    expect(started).toMatchObject({ created: true, saga: 'order', version: 1 });
    expect(await startRun({ id: 'o-1' }, '--key', 'k-1')).toMatchObject({ created: false, id: started['id'] });
    const refused = async (...args: string[]) => (await json(['saga', 'start', ...args])).data['error'];
    expect(await refused('ordr', '--sagas', sagas, '--input', '{}')).toMatchObject({
      code: 'HF_SAGA_UNKNOWN',
      advice: 'Did you mean "order"?',
    });
    expect(await refused('order@3', '--sagas', sagas, '--input', '{}')).toMatchObject({ code: 'HF_SAGA_UNKNOWN' });
    expect(await refused('order', '--sagas', sagas, '--input', '{}')).toMatchObject({ code: 'HF_PAYLOAD_INVALID' });
    expect(await refused('order', '--sagas', sagas, '--input', '{id}')).toMatchObject({ code: 'HF_CONFIG' });
    for (const number of ['9007199254740993', '1e400'])
      expect(await refused('order', '--sagas', sagas, '--input', `{"id": ${number}}`)).toMatchObject({
        code: 'HF_CONFIG',
        message: expect.stringContaining('would alter') as string,
      });
    expect(await refused('order', '--input', '{}')).toMatchObject({
      code: 'HF_CONFIG',
      advice: expect.stringMatching(/--sagas/),
    });
    const signal = ['saga', 'signal', String(started['id']), 'approved', '--sagas', sagas];
    expect((await json([...signal, '--payload', '{"by": 3}'])).data).toMatchObject({
      error: { code: 'HF_PAYLOAD_INVALID' },
    });
  });

  it('says which file is wrong', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-sagas-'));
    const attempt = async () =>
      (await json(['saga', 'start', 'order', '--sagas', folder, '--input', '{}'])).data['error'];
    const source = join(sagas, 'orders.ts');
    try {
      expect(await attempt()).toMatchObject({ code: 'HF_CONFIG', message: expect.stringMatching(/no saga in/) });
      await writeFile(join(folder, 'a.mjs'), 'export const nothing = 1;');
      expect(await attempt()).toMatchObject({ message: expect.stringMatching(/no saga in/) });
      await writeFile(
        join(folder, 'b.ts'),
        `export { order } from '${source}'; export { order as again } from '${source}';`,
      );
      expect(await attempt()).toMatchObject({ code: 'HF_PAYLOAD_INVALID' });
      await writeFile(join(folder, 'c.ts'), `import { order } from '${source}'; export const copy = { ...order };`);
      expect(await attempt()).toMatchObject({
        code: 'HF_SAGA_DEFINITION',
        message: expect.stringMatching(/b\.ts and .*c\.ts both have a saga order/),
      });
      await writeFile(join(folder, 'c.ts'), 'export const x: number = y;');
      expect(await attempt()).toMatchObject({
        code: 'HF_CONFIG',
        message: expect.stringMatching(/c\.ts cannot be loaded: y is not defined/),
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('holdfast worker', () => {
  it('runs, waits, compensates and gets stuck; operators help; it tells how it is and stops in order', async () => {
    const worker = await start('worker', '--worker-name', 'w-1', '--lease', '5s');
    await eventually('it to be ready', async () => (await page(worker, '/readyz')).status === 200);
    expect(await page(worker, '/readyz')).toMatchObject({ body: { status: 'ready', worker: { sagas: ['order@1'] } } });
    expect(await page(worker, '/livez')).toMatchObject({ status: 200, body: { worker: { hangs: false } } });

    const [plain, compensated, asking, stuck] = (
      await Promise.all([
        startRun({ id: '1' }),
        startRun({ id: '2', soldOut: true }),
        startRun({ id: '3', ask: true }),
        startRun({ id: '4', soldOut: true, refundFails: true }),
      ])
    ).map(({ id }) => String(id));
    await becomes(plain!, 'completed');
    await becomes(compensated!, 'compensated');
    await becomes(stuck!, 'stuck');
    expect((await text('saga', 'show', plain!)).stdout).toMatch(
      /✔ charge +step[\s\S]*✔ ship +step[\s\S]*result {2}\{"payment":"p-1"\}/,
    );
    expect((await text('saga', 'show', compensated!)).stdout).toMatch(
      /✘ ship .*rejected: sold out[\s\S]*↶ charge +compensate .*compensated/,
    );
    expect(
      await json(['saga', 'signal', asking!, 'approved', '--sagas', sagas, '--payload', '{"by": "anna"}']),
    ).toMatchObject({ code: 0, data: { accepted: { id: asking } } });
    await becomes(asking!, 'completed');
    expect((await text('status')).stdout).toMatch(/order: .*1 stuck[\s\S]*w-1 [\s\S]*1 run is stuck/);
    expect((await json(['doctor'])).data['findings']).toEqual(
      expect.arrayContaining([expect.objectContaining({ check: 'sagas.stuck', level: 'warn' })]),
    );
    const metrics = await (await fetch(`${await worker.url()}/metrics`)).text();
    expect(metrics).toMatch(/^holdfast_saga_stuck_runs\{saga="order"\} 1$/m);
    expect(metrics).toMatch(/^holdfast_saga_workers 1$/m);
    await json(['saga', 'skip', stuck!, '--reason', 'voucher sent']);
    await becomes(stuck!, 'compensated');
    expect((await text('saga', 'show', stuck!)).stdout).toMatch(
      /⊘ charge +compensate +.*skipped by tester: voucher sent/,
    );

    worker.child.kill('SIGTERM');
    expect(await worker.exit).toBe(0);
    expect(worker.lines.at(-1)?.msg).toMatch(/^stopped: everything in flight is done/);
    expect((await json(['status'])).data).toMatchObject({ sagas: { workers: [], stuck: [] } });
  });

  it('is refused without sagas, or with what is no saga', async () => {
    expect(await json(['worker'])).toMatchObject({
      code: 2,
      data: { error: { code: 'HF_CONFIG', advice: expect.stringMatching(/--sagas/) } },
    });
    expect(await json(['worker', '--sagas', '/nowhere'])).toMatchObject({
      code: 2,
      data: { error: { code: 'HF_CONFIG' } },
    });
    expect(await json(['worker', '--sagas', sagas, '--concurrency', '0'])).toMatchObject({ code: 2 });
  });
});

describe('holdfast start', () => {
  it('is relay and worker in one process', async () => {
    const both = await start('start', '--route', '**=all', '--transport', 'postgres', '--idle-poll', '50ms');
    await eventually('it to be ready', async () => (await page(both, '/readyz')).status === 200);
    expect(await page(both, '/livez')).toMatchObject({
      body: { runners: [{ subscription: 'main' }], worker: { hangs: false } },
    });
    const { id } = await startRun({ id: '1' });
    await becomes(String(id), 'completed');
    await database.query(`SELECT holdfast.send('order.placed', '{}')`);
    await eventually('the message to be published', async () => {
      const { rows } = await database.query<{ published: string }>('SELECT published FROM holdfast.subscription');
      return Number(rows[0]?.published ?? 0) > 0;
    });
    both.child.kill('SIGTERM');
    expect(await both.exit).toBe(0);
  });

  it('says on /livez that the database has fallen silent, and goes on by itself when it answers again', async () => {
    const proxy = await startTcpProxy(test.url);
    try {
      const args = ['--sagas', sagas, '--route', '**=all', '--transport', 'postgres', '--lease', '1s'];
      const both = await daemon(args, { env: { ...env, DATABASE_URL: proxy.url }, verb: 'start' });
      running.push(both);
      await eventually('it to be ready', async () => (await page(both, '/readyz')).status === 200);
      const livez = async () => {
        const { status, body } = await page(both, '/livez');
        const { runners, worker } = body as { runners: { failure: unknown }[]; worker: { failure: unknown } };
        return { status, said: [runners[0]?.failure, worker.failure] };
      };
      expect(await livez()).toEqual({ status: 200, said: [null, null] });
      // Not one connection breaks, and new ones get no answer.
      proxy.blackOut();
      // Both at once, and no reason to be killed: a process started anew would meet the same silence.
      const silent = await eventually('relay and worker to say so', async () => {
        const answer = await livez();
        return answer.said.every((failure) => typeof failure === 'string') && answer;
      });
      expect(silent.status).toBe(200);
      // Asks the database by itself, which may have answered a moment before.
      await eventually('readiness to say so', async () => {
        const { status, body } = await page(both, '/readyz');
        const { reasons } = body as { reasons: readonly string[] };
        return status === 503 && reasons.some((reason) => reason.startsWith('database: '));
      });
      proxy.lighten();
      await eventually('both to be well', async () => (await livez()).said.every((failure) => failure === null));
      await eventually('it to be ready', async () => (await page(both, '/readyz')).status === 200);
      const { id } = await startRun({ id: '1' });
      await becomes(String(id), 'completed');
    } finally {
      await proxy.close();
    }
  });
});
