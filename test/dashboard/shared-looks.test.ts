/** One reading for all who ask the same, and for how long. */
import { expect, it } from 'vitest';
import { createSharedLooks } from '../../src/dashboard/server/shared-looks.ts';

/** A reading that a test ends. */
function readings() {
  const begun: { readonly resolve: (value: unknown) => void; readonly reject: (error: Error) => void }[] = [];
  const read = () => new Promise<unknown>((resolve, reject) => begun.push({ resolve, reject }));
  return { begun, read };
}

it('reads once for those who ask the same within a second, whether or not the answer is there', async () => {
  let nowMs = 0;
  const looks = createSharedLooks(() => nowMs);
  const { begun, read } = readings();
  const first = looks.answer('a', read);
  nowMs = 999;
  const second = looks.answer('a', read);
  const other = looks.answer('b', read);
  expect(begun).toHaveLength(2);
  begun[0]?.resolve({ n: 1 });
  begun[1]?.resolve({ n: 2 });
  expect(await Promise.all([first, second, other])).toEqual(['{"n":1}', '{"n":1}', '{"n":2}']);
  expect(await looks.answer('a', read)).toBe('{"n":1}');
  nowMs = 1_000;
  void looks.answer('a', read);
  expect(begun).toHaveLength(3);
});

it('gives nobody who asks after a change what was being read before it', async () => {
  const looks = createSharedLooks(() => 0);
  const { begun, read } = readings();
  const before = looks.answer('a', read);
  looks.forget();
  const after = looks.answer('a', read);
  begun[0]?.resolve('old');
  expect(await before).toBe('"old"');
  // The end of the first reading takes nothing of the second away.
  const same = looks.answer('a', read);
  expect(begun).toHaveLength(2);
  begun[1]?.resolve('new');
  expect(await Promise.all([after, same])).toEqual(['"new"', '"new"']);
});

it('has those who ask after a change wait for one reading, also when the one before it fails', async () => {
  const looks = createSharedLooks(() => 0);
  const { begun, read } = readings();
  const before = looks.answer('a', read);
  looks.forget();
  const after = looks.answer('a', read);
  begun[0]?.reject(new Error('no'));
  await expect(before).rejects.toThrow('no');
  const same = looks.answer('a', read);
  expect(begun).toHaveLength(2);
  begun[1]?.resolve(1);
  expect(await Promise.all([after, same])).toEqual(['1', '1']);
});

it('keeps no failure', async () => {
  const looks = createSharedLooks(() => 0);
  const { begun, read } = readings();
  const both = [looks.answer('a', read), looks.answer('a', read)];
  begun[0]?.reject(new Error('no'));
  for (const each of both) await expect(each).rejects.toThrow('no');
  const again = looks.answer('a', read);
  expect(begun).toHaveLength(2);
  begun[1]?.resolve(1);
  expect(await again).toBe('1');
});
