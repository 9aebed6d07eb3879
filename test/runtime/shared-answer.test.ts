import { describe, expect, it } from 'vitest';
import { sharedAnswer } from '../../src/runtime/shared-answer.ts';

describe('sharedAnswer', () => {
  it('asks once for all who come while the question is open, and for a while after', async () => {
    let asked = 0;
    let now = 0;
    const answer = sharedAnswer(
      async () => {
        asked += 1;
        return asked;
      },
      1_000,
      () => now,
    );
    expect(await Promise.all([answer(), answer(), answer()])).toEqual([1, 1, 1]);
    now = 999;
    expect(await answer()).toBe(1);
    now = 1_000;
    expect(await answer()).toBe(2);
  });

  it('gives a failure to all as well, and asks again later', async () => {
    let now = 0;
    let asked = 0;
    const answer = sharedAnswer(
      () => {
        asked += 1;
        return Promise.reject(new Error(`no ${asked}`));
      },
      10,
      () => now,
    );
    await expect(answer()).rejects.toThrow('no 1');
    await expect(answer()).rejects.toThrow('no 1');
    now = 10;
    await expect(answer()).rejects.toThrow('no 2');
  });
});
