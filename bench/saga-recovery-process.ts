/**
 * The two workers of saga-recovery.ts. argv: role, database URL, number of runs, lease in ms. The victim brings all runs into their second
 * step, which never ends there, says so, and waits to be killed. The rescuer runs a few to be warm, says so, counts the ends of runs until
 * it has all of the victim's, and then does as many from the start.
 */
import { z } from 'zod';
import { openDatabase } from '../src/postgres/database.ts';
import { saga } from '../src/saga/definition/definition.ts';
import { step } from '../src/saga/kinds/step.ts';
import { createWorker } from '../src/saga/worker/worker.ts';
import { monotonicMs } from './support/clock.ts';
import { countingMetrics } from './support/counting-metrics.ts';

export type Role = 'victim' | 'rescuer';

export interface Rescue {
  /** When the last of the victim's runs had ended (monotonicMs). */
  readonly doneAtMs: number;
  /** How long as many took from the start, with 1,000 in flight. */
  readonly afreshMs: number;
}

const INFLIGHT = 1_000;
/** What the rescuer does before, as a part of all. */
const WARM_UP = 0.2;
const [role, url = '', count = '', lease = ''] = process.argv.slice(2);
const runs = Number(count);

let inSecondStep = 0;
let finish = (): void => {};
let ended = 0;
let endsWanted = Infinity;

const nothing = (name: string) => step({ run: async (run: number) => ({ name, run, cents: 1 }) });
const threeSteps = saga({
  name: 'three-steps',
  input: z.object({ run: z.number() }),
  steps: {
    reserve: nothing('reserve'),
    charge: step({
      async run(run: number) {
        inSecondStep += 1;
        if (role === 'victim') {
          if (inSecondStep === runs) finish();
          await new Promise(() => {});
        }
        return { name: 'charge', run, cents: 1 };
      },
      timeout: '10m',
    }),
    ship: nothing('ship'),
  },
  async run({ input: { run }, steps }) {
    const reserved = await steps.reserve(run);
    const charged = await steps.charge(run);
    const shipped = await steps.ship(run);
    return { run, total: reserved.cents + charged.cents + shipped.cents };
  },
});

process.once('disconnect', () => process.exit(1));
const database = openDatabase({ url });
const worker = createWorker({
  database,
  sagas: [threeSteps],
  lease: Number(lease),
  concurrency: role === 'victim' ? runs : INFLIGHT,
  metrics: countingMetrics('holdfast_saga_runs_total', (by) => {
    ended += by;
    if (ended >= endsWanted) finish();
  }),
});
await worker.start();
if (role === 'victim') {
  const allUnderWay = finished();
  await inFlight(runs, INFLIGHT, (n) => worker.sagas.start(threeSteps, { run: n }));
  await allUnderWay;
  process.send?.('under way');
} else {
  await fromTheStart(Math.ceil(runs * WARM_UP));
  endsWanted = ended + runs;
  const allEnded = finished();
  process.send?.('standing by');
  await allEnded;
  const doneAtMs = monotonicMs();
  const from = performance.now();
  await fromTheStart(runs);
  const rescue: Rescue = { doneAtMs, afreshMs: performance.now() - from };
  await worker.stop();
  await database.close();
  process.send?.(rescue, () => process.exit(0));
}

function finished(): Promise<void> {
  return new Promise((resolve) => {
    finish = resolve;
  });
}

function fromTheStart(total: number): Promise<void> {
  return inFlight(total, INFLIGHT, async (n) => {
    const run = await worker.sagas.start(threeSteps, { run: n });
    await run.result();
  });
}

async function inFlight(total: number, most: number, one: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const loop = async (): Promise<void> => {
    while (next < total) {
      next += 1;
      await one(next);
    }
  };
  await Promise.all(Array.from({ length: most }, loop));
}
