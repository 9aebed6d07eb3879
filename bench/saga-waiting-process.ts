/**
 * The process that saga-waiting.ts measures: a worker with argv[3] runs on the database argv[2], all of which wait for a signal. Looks at
 * itself and at the server when a tenth of them wait, and when all do; then signals some, as another service would.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { openDatabase } from '../src/postgres/database.ts';
import { createSagas } from '../src/saga/client/client.ts';
import { saga } from '../src/saga/definition/definition.ts';
import { step } from '../src/saga/kinds/step.ts';
import { createWorker } from '../src/saga/worker/worker.ts';
import { serverCpuMs } from './support/server-cpu.ts';

export interface WaitingSample {
  readonly waiting: number;
  /** After a garbage collection, in bytes. */
  readonly heap: number;
  readonly rss: number;
  /** Processor time, in ms a second. */
  readonly idle: { readonly worker: number; readonly server: number | null };
}

export interface Waited {
  readonly few: WaitingSample;
  readonly all: WaitingSample;
  /** From the call of signal() to the step after the wait, of a worker that was asleep, in ms. */
  readonly signalMs: readonly number[];
}

const [url = '', count = '', length = ''] = process.argv.slice(2);
const runs = Number(count);
const { idleMs, signals } = length === 'quick' ? { idleMs: 1_000, signals: 2 } : { idleMs: 10_000, signals: 10 };
/** A worker that had nothing to do for so long is asleep. */
const ASLEEP_MS = 1_300;
const INFLIGHT = 1_000;

let wentOn = (_run: number): void => {};
const approval = saga({
  name: 'approval',
  input: z.object({ run: z.number() }),
  signals: { approve: z.object({ by: z.string() }) },
  steps: {
    ask: step({ run: async (run: number) => ({ asked: run }) }),
    goOn: step({ run: async (run: number) => wentOn(run) }),
  },
  async run({ input: { run }, steps, waitFor }) {
    await steps.ask(run);
    const { by } = await waitFor('approve');
    await steps.goOn(run);
    return { run, by };
  },
});

process.once('disconnect', () => process.exit(1));
const database = openDatabase({ url });
const worker = createWorker({ database, sagas: [approval] });
await worker.start();
let started = 0;
await startUntil(runs / 10);
const few = await look();
await startUntil(runs);
const all = await look();
const waited: Waited = { few, all, signalMs: await signalSome() };
await worker.stop();
await database.close();
process.send?.(waited, () => process.exit(0));

/** Starts runs until so many wait, and waits until they do. */
async function startUntil(total: number): Promise<void> {
  const loop = async (): Promise<void> => {
    while (started < total) {
      started += 1;
      await worker.sagas.start(approval, { run: started });
    }
  };
  await Promise.all(Array.from({ length: INFLIGHT }, loop));
  const waiting = `SELECT count(*)::int AS count FROM holdfast.saga_run WHERE status = 'waiting'`;
  while ((await database.query<{ count: number }>(waiting)).rows[0]?.count !== total) await sleep(50);
  await database.query('VACUUM ANALYZE');
  await database.query('CHECKPOINT');
}

async function look(): Promise<WaitingSample> {
  await sleep(ASLEEP_MS);
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, rss } = process.memoryUsage();
  const serverFrom = await serverCpuMs(database);
  const workerFrom = process.cpuUsage();
  await sleep(idleMs);
  const { user, system } = process.cpuUsage(workerFrom);
  const serverTo = await serverCpuMs(database);
  const seconds = idleMs / 1000;
  return {
    waiting: started,
    heap: heapUsed,
    rss,
    idle: {
      worker: (user + system) / 1000 / seconds,
      server: serverFrom === null || serverTo === null ? null : (serverTo - serverFrom) / seconds,
    },
  };
}

async function signalSome(): Promise<readonly number[]> {
  const elsewhere = openDatabase({ url });
  const sagas = createSagas({ database: elsewhere, sagas: [approval] });
  const { rows } = await elsewhere.query<{ id: string }>(
    `SELECT id FROM holdfast.saga_run WHERE status = 'waiting' ORDER BY md5(id::text) LIMIT $1`,
    [signals],
  );
  const took: number[] = [];
  for (const { id } of rows) {
    await sleep(ASLEEP_MS);
    const goesOn = new Promise<void>((resolve) => {
      wentOn = () => resolve();
    });
    const from = performance.now();
    await sagas.handle(approval, id).signal('approve', { by: 'bench' });
    await goesOn;
    took.push(performance.now() - from);
  }
  await elsewhere.close();
  return took;
}
