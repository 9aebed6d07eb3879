/**
 * Time limits as signals, of which only a composite is listened to.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { timeLimit } from '../../src/runtime/time-limit.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

it('aborts what was made of it and of others, also when the garbage collector has run', async () => {
  const never = new AbortController();
  const reasons: string[] = [];
  const all = Array.from(
    { length: 10 },
    () =>
      new Promise<void>((resolve) => {
        const either = AbortSignal.any([never.signal, timeLimit(100)]);
        either.addEventListener('abort', () => {
          reasons.push((either.reason as Error).name);
          resolve();
        });
      }),
  );
  for (let n = 0; n < 3; n += 1) {
    await nextTurn();
    collectGarbage();
  }
  await Promise.all(all);
  expect(reasons).toEqual(all.map(() => 'TimeoutError'));
});
