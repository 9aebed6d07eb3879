import { expect, it } from 'vitest';
import { throttleErrors } from '../../src/transport/throttle-errors.ts';

function heard(): { readonly at: number[]; readonly say: (text: string, atMs: number) => void } {
  const at: number[] = [];
  let now = 0;
  const tell = throttleErrors(
    () => void at.push(now),
    () => now,
  );
  return {
    at,
    say(text, atMs) {
      now = atMs;
      tell(new Error(text));
    },
  };
}

it('says the same at once, and then ever more rarely for as long as it lasts', () => {
  const { at, say } = heard();
  for (let second = 0; second <= 3600; second += 1)
    say(`connect ECONNREFUSED 127.0.0.1:${6000 + second}`, second * 1000);
  expect(at.slice(0, 5)).toEqual([0, 2_000, 6_000, 14_000, 30_000]);
  expect(at.length).toBeLessThan(16);
});

it('says another one at once, and the same when it comes back after it was over', () => {
  const { at, say } = heard();
  say('one', 0);
  say('one', 1_000);
  say('two', 1_000);
  say('one', 60_000);
  expect(at).toEqual([0, 1_000, 60_000]);
});

it('remembers a bounded number of them', () => {
  const { at, say } = heard();
  for (let n = 0; n < 1_000; n += 1) say(`trouble ${String.fromCodePoint(0x4e00 + n)}`, n);
  expect(at).toHaveLength(1_000);
});
