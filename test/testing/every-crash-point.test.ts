/** everyCrashPoint: what it counts, and that it finds sagas that are wrong. Sagas that are right stand in test/sagas. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError, saga, step } from '../../src/index.ts';
import { everyCrashPoint, type CrashTry } from '../../src/testing/index.ts';

/** An account outside: what a step adds to it and takes from it, by idempotency key or not. */
let balance = 0;
let seen = new Set<string>();
const prepare = (): void => {
  balance = 0;
  seen = new Set();
};
const once = (key: string, amount: number): void => {
  if (!seen.has(key)) balance += amount;
  seen.add(key);
};

const pay = (compensation: (key: string) => void, last: () => void = () => {}) =>
  saga({
    name: 'pay',
    input: z.string(),
    steps: {
      pay: step({
        run: (_: string, { idempotencyKey }) => once(idempotencyKey, 5),
        compensate: (_, { idempotencyKey }) => compensation(idempotencyKey),
      }),
      last: step({ run: last }),
    },
    async run({ input, steps }) {
      await steps.pay(input);
      await steps.last();
      return 'paid';
    },
  });
const fails = { failStep: { last: new PermanentError('no') }, prepare };
const sums = ({ status }: CrashTry): void => expect(balance).toBe(status === 'completed' ? 5 : 0);

describe('everyCrashPoint', () => {
  it('tries each place once, and more with a second crash', async () => {
    const tries: (string | null)[] = [];
    const right = pay((key) => once(key, -5));
    const report = await everyCrashPoint(
      right,
      'a',
      ({ point, result }) => {
        tries.push(point);
        expect([result, balance]).toEqual(['paid', 5]);
      },
      { prepare, secondCrash: 10 },
    );
    expect(report).toMatchObject({ points: 11, tries: 22, statuses: { completed: 22 } });
    expect(report.crashes).toBeGreaterThan(11);
    expect(tries[0]).toBeNull();
    expect(tries).toContain('saga.step:after, occurrence 2');
    expect(new Set(tries.slice(0, 12)).size).toBe(12);
  });

  it('tries the way back as well', async () => {
    const report = await everyCrashPoint(
      pay((key) => once(key, -5)),
      'a',
      sums,
      { ...fails, secondCrash: 10 },
    );
    expect(report.statuses).toEqual({ compensated: report.tries });
  });

  it('finds a compensation that does not bear to be repeated', async () => {
    const wrong = pay(() => void (balance -= 5));
    await expect(everyCrashPoint(wrong, 'a', sums, fails)).rejects.toThrow(
      /^With a crash at saga\.compensation:after, occurrence 1: expected -5 to be \+?0[^]*Effects: pay, compensate pay\.\nJournal of the run, which is compensated:\n {2}0 {2}\{"t":"started"/,
    );
  });

  it('finds a step that does not bear to be repeated', async () => {
    const wrong = pay(
      (key) => once(key, -5),
      () => void (balance += 1),
    );
    const exact = (): void => expect(balance).toBe(6);
    await expect(everyCrashPoint(wrong, 'a', exact, { prepare })).rejects.toThrow('saga.step:after, occurrence 2');
  });

  it('finds code that is another when it is run again', async () => {
    let runs = 0;
    const fickle = saga({
      name: 'fickle',
      input: z.string(),
      steps: { one: step({ run: (n: number) => n }), two: step({ run: (n: number) => n }) },
      async run({ steps }) {
        runs += 1;
        await steps.one(runs);
        await steps.two(runs);
      },
    });
    await expect(everyCrashPoint(fickle, 'a', () => {})).rejects.toThrow(
      /cannot be replayed: The journal has the call one/,
    );
  });

  it('says when a run waits for something that does not come, and takes stuck runs only where they are allowed', async () => {
    const waits = saga({
      name: 'waits',
      input: z.string(),
      signals: { go: z.string() },
      steps: { pay: step({ run: () => {}, compensate: () => {}, compensation: { retry: { attempts: 1 } } }) },
      async run({ steps, waitFor }) {
        await steps.pay();
        return waitFor('go');
      },
    });
    await expect(everyCrashPoint(waits, 'a', () => {})).rejects.toThrow('Without any crash: the run is waiting');
    const sent = await everyCrashPoint(waits, 'a', ({ result }) => expect(result).toBe('yes'), {
      drive: (_, run) => run.signal('go', 'yes'),
    });
    expect(sent.statuses).toEqual({ completed: sent.tries });
    const stuck = {
      drive: (test: { failCompensation(name: string, error: Error): void }, run: { cancel(): Promise<unknown> }) => (
        test.failCompensation('pay', new Error('no')),
        run.cancel()
      ),
    };
    await expect(everyCrashPoint(waits, 'a', () => {}, stuck)).rejects.toThrow('the run is stuck');
    const report = await everyCrashPoint(waits, 'a', () => {}, { ...stuck, allowStuck: true });
    expect(report.statuses.stuck).toBeGreaterThan(1);
  });

  it('refuses unknown options', async () => {
    await expect(
      everyCrashPoint(
        pay(() => {}),
        'a',
        () => {},
        { sagas: [] } as never,
      ),
    ).rejects.toMatchObject({ code: 'HF_OPTION_UNKNOWN' });
  });
});
