/**
 * Whom a message of an ordered destination names as its predecessor, without a database.
 */
import { expect, it } from 'vitest';
import { createKeyHeads } from '../../src/relay/subscription/key-heads.ts';

const message = (id: string, at: string, key = 'k') => ({
  destination: 'd',
  key,
  id,
  at: `2026-01-01T00:00:${at}Z`,
  sentAt: null,
});

it('each message follows the one before it of its key', () => {
  const heads = createKeyHeads('holdfast', 's');
  const ids = [message('a', '01'), message('x', '02', 'other'), message('b', '03')].map(
    (each) => heads.follow(each)?.id,
  );
  expect(ids).toEqual([undefined, undefined, 'a']);
  heads.settle();
  expect(heads.follow(message('c', '04'))?.id).toBe('b');
});

it('a message that is sent once more after its page was settled does not wait for itself', () => {
  const heads = createKeyHeads('holdfast', 's');
  heads.follow(message('a', '01'));
  heads.settle();
  // It was parked, published by a redrive, and the redrive died before it had written that down.
  for (const options of [undefined, { again: true }]) expect(heads.follow(message('a', '01'), options)).toBeUndefined();
  expect(heads.follow(message('b', '02'))?.id).toBe('a');
});

it('a parked one that is sent at last follows nobody who names it', () => {
  const heads = createKeyHeads('holdfast', 's');
  for (const each of [message('a', '01'), message('b', '02.5'), message('c', '03')]) heads.follow(each);
  heads.settle();
  expect(heads.follow(message('b', '02.5'), { again: true })).toBeUndefined();
  expect(heads.follow(message('d', '04'), { again: true })?.id).toBe('c');
});

it('one that was refused is nobody’s predecessor, and sent again within its page it follows whom it followed', () => {
  const heads = createKeyHeads('holdfast', 's');
  heads.follow(message('a', '01'));
  heads.settle();
  const b = message('b', '02');
  expect(heads.follow(b)?.id).toBe('a');
  heads.unfollow(b);
  expect(heads.follow(message('c', '03'))?.id).toBe('a');
  expect(heads.follow(b)?.id).toBe('a');
});
