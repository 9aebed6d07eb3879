/** An event loop that stands still, on PostgreSQL: the lease is kept by a thread, and the step that held the loop is named. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { eventually } from '../support/eventually.ts';
import { rememberingLogger } from '../support/failing-observers.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

/** As computing does: nothing else of this process goes on meanwhile. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function heavy(ms: number) {
  const seen = { attempts: 0 };
  const flow = saga({
    name: 'heavy',
    input: z.null(),
    steps: {
      compute: step({
        run() {
          seen.attempts += 1;
          // Only the first time, so that the run ends in either case.
          if (seen.attempts === 1) block(ms);
          return 'computed';
        },
      }),
      small: step({ run: () => 'small' }),
    },
    async run({ steps }) {
      await steps.small();
      return steps.compute();
    },
  });
  return { flow, seen };
}

async function threadOf(log: ReturnType<typeof rememberingLogger>): Promise<void> {
  await eventually('the thread is there', async () =>
    log.lines.some(({ message }) => message.startsWith('a thread keeps the lease')),
  );
}

describe('a step that computes for longer than the lease', () => {
  it('is made once: nobody can take its run over meanwhile; and it is named', async () => {
    const log = rememberingLogger();
    const { flow, seen } = heavy(6_000);
    const worker = await lab.worker([flow], { lease: '2s', standstill: '1m', log });
    const { id } = worker;
    await threadOf(log);
    const run = await worker.sagas.start(flow, null);
    // Asked by the server, at a time when this process does nothing: another worker would take over then.
    const lasted = lab.test.pool.query(
      `SELECT pg_sleep(5); SELECT lease_until > clock_timestamp() AS lasts FROM holdfast.worker WHERE id = '${id}'`,
    ) as unknown as Promise<readonly { readonly rows: readonly unknown[] }[]>;
    expect(await run.result({ timeout: '30s' })).toBe('computed');
    expect(seen.attempts).toBe(1);
    expect(worker.id).toBe(id);
    expect(await lab.story(run.id)).not.toContain('attempt failed compute');
    expect((await lasted)[1]?.rows).toEqual([{ lasts: true }]);
    const said = await eventually('the standstill is said', async () =>
      log.lines.find(({ message }) => message.startsWith('the event loop stood still')),
    );
    expect(said).toMatchObject({ level: 'error', fields: { run: run.id, saga: 'heavy', call: 'compute' } });
  });

  it('for ever, or longer than `standstill`, has its run go to others, and costs it no attempt', async () => {
    const log = rememberingLogger();
    const { flow, seen } = heavy(4_000);
    const worker = await lab.worker([flow], { lease: '1s', standstill: '1500ms', log });
    const { id } = worker;
    // Without the thread the lease would be over in any case.
    await threadOf(log);
    const run = await worker.sagas.start(flow, null);
    expect(await run.result({ timeout: '30s' })).toBe('computed');
    expect(seen.attempts).toBe(2);
    expect(worker.id).not.toBe(id);
  });
});
