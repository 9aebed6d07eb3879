/** The test kit of sagas beside real time: steps that take some, and fake timers. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { saga, step } from '../../src/index.ts';
import { testSagas } from '../../src/testing/index.ts';

const real = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const racing = (sleepMs: number) =>
  saga({
    name: 'racing',
    input: z.number(),
    steps: {
      slow: step({
        run: async (ms: number) => {
          if (ms > 0) await real(ms);
          return 'step';
        },
      }),
    },
    run: ({ input, steps, sleep }) => Promise.race([steps.slow(input), sleep(sleepMs).then(() => 'sleep')]),
  });

describe('a step that takes real time', () => {
  it('loses a race against what is due before it has ended', async () => {
    const code = racing(20);
    const test = testSagas({ sagas: [code] });
    const run = await test.start(code, 200);
    expect(await run.result()).toBe('sleep');
  });

  it('wins it against what is due long after, and when it takes none', async () => {
    for (const ms of [0, 5]) {
      const code = racing(3_600_000);
      const test = testSagas({ sagas: [code] });
      expect(await (await test.start(code, ms)).result()).toBe('step');
    }
    const code = racing(1);
    const test = testSagas({ sagas: [code] });
    expect(await (await test.start(code, 0)).result()).toBe('step');
  });

  it('runs out of time by its timeout', async () => {
    const code = saga({
      name: 'hasty',
      input: z.null(),
      steps: {
        slow: step({ run: () => real(300), timeout: '30ms', retry: { attempts: 1 } }),
      },
      run: ({ steps }) => steps.slow(null),
    });
    const test = testSagas({ sagas: [code] });
    const run = await test.start(code, null);
    await test.finish();
    await expect(run.result()).rejects.toMatchObject({ cause: { code: 'HF_STEP_TIMEOUT' } });
  });
});

describe('under fake timers', () => {
  afterEach(() => void vi.useRealTimers());

  it('settles, moves its own clock and finishes', async () => {
    vi.useFakeTimers();
    const code = saga({
      name: 'patient',
      input: z.null(),
      signals: { go: z.string() },
      steps: { work: step({ run: async () => 'worked', compensate: () => {} }) },
      async run({ steps, sleep, waitFor }) {
        const worked = await steps.work();
        await sleep('3d');
        return [worked, await waitFor('go', { timeout: '1d' })];
      },
    });
    const test = testSagas({ sagas: [code] });
    const run = await test.start(code, null);
    await test.advance('3d');
    await run.signal('go', 'now');
    expect(await run.result()).toEqual(['worked', 'now']);
    await test.finish();
  });
});
