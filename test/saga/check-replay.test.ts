/** Whether a stored run fits new code: what comes next, or both sides of where it does not. No database. */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { checkReplay, saga, step, transaction, type AnySaga, type RunContext } from '../../src/index.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';

const steps = {
  charge: step({ run: async (amount: number) => amount, compensate: () => {} }),
  ship: step({ run: async (to: string) => to }),
};
type Context = RunContext<number, typeof steps, { go: z.ZodString }>;
const code = (run: (context: Context) => Promise<unknown>, declared: Partial<typeof steps> = steps): AnySaga =>
  saga({
    name: 'order',
    input: z.number(),
    signals: { go: z.string() },
    steps: declared as typeof steps,
    run,
  });
const asRecorded = code(async ({ input, steps: { charge, ship }, waitFor, uuid, now }) => {
  await charge(input);
  const to = await waitFor('go', { timeout: '1d' });
  await ship(`${to} ${uuid()} ${now().getTime()}`);
});
const id = randomUUID();
const history = (...events: JournalEvent[]) => ({
  id,
  journal: events.map((event, n) => ({ n, at: n, events: [event] })),
});
const started = { t: 'started', input: 5 } as const;
const charged = [
  { t: 'called', call: 'charge', kind: 'step', step: 'charge', input: 5 },
  { t: 'done', call: 'charge', output: 5 },
] as const;
const waits = { t: 'called', call: 'wait:go#1', kind: 'wait', step: 'go', input: 86_400_000 } as const;

describe('checkReplay', () => {
  it('says what comes next when the code fits', async () => {
    expect(await checkReplay(asRecorded, history(started))).toEqual({ kind: 'fits', next: ['charge'], ended: false });
    expect(await checkReplay(asRecorded, history(started, ...charged, waits))).toEqual({
      kind: 'fits',
      next: [],
      ended: false,
    });
    const all = code(async ({ input, steps: { charge } }) => charge(input));
    expect(await checkReplay(all, history(started, ...charged))).toEqual({ kind: 'fits', next: [], ended: true });
  });

  it.each<[string, AnySaga, string, string]>([
    [
      'another call',
      code(async ({ steps: { ship } }) => ship('x')),
      'has the call charge (step) with 5',
      'calls ship (step) with "x"',
    ],
    [
      'another input',
      code(async ({ steps: { charge } }) => charge(6)),
      'has the call charge with the input 5',
      'calls it with 6',
    ],
    ['no call', code(async () => 1), 'has the call charge (step) with 5', 'returns there'],
    [
      'an error',
      code(() => Promise.reject(new Error('x'))),
      'has the call charge (step) with 5',
      'throws there: Error: x',
    ],
    [
      'a call before it',
      code(async ({ input, sleep, steps: { charge } }) => {
        await sleep('1s');
        await charge(input);
      }),
      'has the call charge (step) with 5',
      'calls sleep#1 (sleep) with 1000',
    ],
  ])('shows both sides of %s', async (_, saga_, journal, does) => {
    const verdict = await checkReplay(saga_, history(started, ...charged, waits));
    expect(verdict).toMatchObject({ kind: 'mismatch', why: 'non-determinism', journal, code: does });
    expect(verdict).toMatchObject({ message: expect.stringContaining(`The journal ${journal}; the code ${does}.`) });
  });

  it('names what is awaited and is no step', async () => {
    const outside = code(async () => {
      // Longer than a turn of the event loop takes on whatever machine.
      await new Promise((resolve) => {
        setTimeout(resolve, 1_000);
      });
    });
    expect(await checkReplay(outside, history(started))).toMatchObject({
      why: 'outside await',
      journal: null,
      message: expect.stringContaining('awaits something that is no step'),
    });
  });

  it('finds a step that would have to be compensated and is declared no longer', async () => {
    const { ship } = steps;
    const without = code(async () => {}, { ship });
    const verdict = { kind: 'mismatch', why: 'undefined step', code: 'declares no step charge' };
    const compensating = { t: 'undoing', reason: 'cancelled' } as const;
    expect(await checkReplay(without, history(started, ...charged, compensating))).toMatchObject(verdict);
    expect(await checkReplay(without, history(started, ...charged))).toMatchObject(verdict);
    const compensated = { t: 'compensated', call: 'charge' } as const;
    expect(await checkReplay(without, history(started, ...charged, compensating, compensated))).toMatchObject({
      kind: 'fits',
    });
  });

  it('finds a step that could be compensated when it was called, and is declared without that now', async () => {
    const uncompensated = code(async ({ input, steps: { charge } }) => charge(input), {
      ...steps,
      charge: step<number, number>({ run: async (amount) => amount }),
    });
    const promised = { ...charged[0], undoable: true } as const;
    expect(await checkReplay(uncompensated, history(started, promised, charged[1]))).toMatchObject({
      why: 'undefined step',
      code: expect.stringMatching(/without what compensates it/) as string,
    });
  });

  it('finds one that may have happened, and bears that one is gone which never did', async () => {
    const without = code(() => Promise.reject(new Error('x')), { ship: steps.ship });
    const error = { name: 'Error', message: 'x' };
    const failed = (outcome: 'definite' | 'unknown') =>
      history(started, charged[0], { t: 'failed', call: 'charge', attempts: 1, error, outcome });
    expect(await checkReplay(without, failed('unknown'))).toMatchObject({ why: 'undefined step' });
    expect(await checkReplay(without, failed('definite'))).toMatchObject({ why: 'non-determinism' });
  });

  it('finds a step that has become one of another kind', async () => {
    const other = code(async () => {}, { ...steps, charge: transaction({ run: async () => 1 }) as never });
    expect(await checkReplay(other, history(started, ...charged))).toMatchObject({ why: 'undefined step' });
  });

  it('refuses what is no journal', async () => {
    await expect(checkReplay(asRecorded, { id, journal: [] })).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(checkReplay(asRecorded, history(...charged))).rejects.toMatchObject({ code: 'HF_CONFIG' });
  });
});
