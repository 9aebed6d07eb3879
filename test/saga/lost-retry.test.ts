/**
 * A worker dies in an attempt that was made again after a failure, and messages come for its run before another worker takes it up: the
 * time at which that attempt was due stands in the journal and is long past, but nothing is due by it any more.
 */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { testSagas } from '../../src/testing/saga/saga-test.ts';

const retry = { attempts: 10, base: '10s', cap: '10s' } as const;
const run = (): void => {};
const Signal = z.object({ n: z.number() });

describe('an attempt that is lost with its worker after an earlier one has failed', () => {
  it.each([
    ['transaction', 'saga.transaction:before', transaction({ retry, run })],
    ['step', 'saga.step:after', step({ retry, run })],
  ])('is made again once, of a %s', async (_kind, point, book) => {
    const booking = saga({
      name: 'booking',
      input: z.object({}),
      signals: { go: Signal },
      steps: { book },
      async run({ steps, waitFor }) {
        await steps.book();
        await waitFor('go');
      },
    });
    const test = testSagas({ sagas: [booking], transaction: () => ({}) });
    test.failStep('book', new Error('not now'));
    const started = await test.start(booking, {});
    await test.settle();
    test.crashAt(point);
    await test.advance('6s');
    expect(test.crashes).toBe(1);
    await started.signal('go', { n: 1 });
    await started.signal('go', { n: 2 });
    await test.advance('1h');
    // Not before its loss was taken in, or there would be another one after that.
    expect(test.calls.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(await started.status()).toMatchObject({ status: 'completed' });
  });
});
