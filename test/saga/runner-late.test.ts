/**
 * A runner of transaction steps that opens its transaction when nobody waits for it any more: nothing of the step happens in it.
 */
import { expect, it } from 'vitest';
import type { Row } from '../../src/postgres/executor.ts';
import { runRunnerStep, type RunnerStepOptions } from '../../src/saga/store/postgres/runner-step.ts';

interface Tx {
  readonly number: number;
}

it('a transaction that comes too late is refused before the handler runs, and rolled back', async () => {
  let open = (): void => {};
  const opening = new Promise<void>((resolve) => (open = resolve));
  let ended: Promise<void> | undefined;
  const statements: string[] = [];
  const options = {
    database: { schema: 'holdfast' },
    crashPoint: () => {},
    queryTimeoutMs: 1,
    idleInTransactionMs: 1_000,
    proved: new WeakSet<object>(),
    runner: {
      transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T> {
        const result = opening.then(() => fn({ number: 1 }));
        ended = result.then(() => {});
        return result;
      },
      execute: async (_tx: Tx, sql: string): Promise<readonly Row[]> => {
        statements.push(sql);
        return [{ pid: '1', xid: '1', mine: 'yes' }];
      },
    },
  } as unknown as RunnerStepOptions<Tx>;
  let runs = 0;
  const step = runRunnerStep(options, '00000000-0000-7000-8000-000000000001', () => {
    runs += 1;
    return Promise.reject(new Error('the handler ran'));
  });
  await expect(step).rejects.toMatchObject({
    code: 'HF_DATABASE_UNAVAILABLE',
    message: expect.stringContaining('opened no transaction in time'),
  });
  open();
  await expect(ended).rejects.toMatchObject({
    code: 'HF_DATABASE_UNAVAILABLE',
    message: expect.stringContaining('did not answer in time'),
  });
  expect([runs, statements]).toEqual([0, []]);
});
