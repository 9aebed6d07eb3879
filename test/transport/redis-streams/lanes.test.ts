import { describe, expect, it } from 'vitest';
import { outbound } from '../../../src/testing/transport/kit.ts';
import { chunkEnd, splitBatch } from '../../../src/transport/redis-streams/batch.ts';
import { compareIds, readEntry, type StreamEntry } from '../../../src/transport/redis-streams/entry.ts';
import { Lanes } from '../../../src/transport/redis-streams/lanes.ts';
import type { PublishOutcome } from '../../../src/transport/port.ts';

const entry = (id: number, key: string | null, count = 1): StreamEntry => ({ id: `${id}-0`, key, wire: 'x', count });
const begun = (lanes: Lanes, most = 10, nowMs = 0): (readonly [string, number, number | null | undefined])[] =>
  lanes.next(most, nowMs).map(({ entry: { id, count }, beginning }) => [id, count, beginning?.delayedCount]);

describe('lanes', () => {
  it('hand out the first of each key, and the next once Redis has the verdict on it', () => {
    const lanes = new Lanes();
    const atOnce = [entry(1, 'a'), entry(2, 'a'), entry(3, 'b'), entry(4, null), entry(5, null)].map((each) =>
      lanes.add(each),
    );
    expect(atOnce).toEqual([true, false, true, true, true]);
    expect(begun(lanes)).toEqual([]);
    lanes.done('1-0');
    expect(begun(lanes)).toEqual([['2-0', 1, undefined]]);
    expect(lanes.add(entry(6, 'a'))).toBe(false);
    expect([lanes.size, lanes.characters]).toEqual([5, 5]);
    for (const id of lanes.ids()) lanes.done(id);
    expect([lanes.size, lanes.characters]).toEqual([0, 0]);
    expect(lanes.add(entry(7, 'a'))).toBe(true);
  });

  it('are closed by a later for themselves alone, until it is due, and tell Redis that it begins', () => {
    const lanes = new Lanes();
    for (const each of [entry(1, 'a', 2), entry(2, 'a'), entry(3, 'b')]) lanes.add(each);
    lanes.later('1-0', 50);
    lanes.done('3-0');
    expect(lanes.add(entry(4, 'b'))).toBe(true);
    expect([lanes.nextDueMs(), lanes.hasOpen(49), begun(lanes, 10, 49)]).toEqual([50, false, []]);
    expect(lanes.next(10, 50, 'at once')).toEqual([]);
    expect(begun(lanes, 10, 50)).toEqual([['1-0', 2, 2]]);
    lanes.putBack('1-0');
    expect(begun(lanes, 10, 50)).toEqual([['1-0', 2, 2]]);
    expect(lanes.nextDueMs()).toBe(Infinity);
  });

  it('of the owner before: what it had handed out is counted, what had waited or was put off is not', () => {
    const lanes = new Lanes();
    // Out of order, as the two lists come.
    const pending = [entry(1, 'a', 3), entry(2, 'a'), entry(5, 'b'), entry(10, null)];
    lanes.takeOver(
      pending,
      [
        { entry: entry(4, 'b', 2), dueMs: 20 },
        { entry: entry(3, 'a'), dueMs: 0 },
      ],
      true,
    );
    expect(begun(lanes)).toEqual([
      ['1-0', 4, null],
      ['10-0', 2, null],
    ]);
    lanes.done('1-0');
    expect(begun(lanes)).toEqual([['2-0', 1, undefined]]);
    lanes.done('2-0');
    expect(begun(lanes)).toEqual([['3-0', 1, 1]]);
    expect(begun(lanes, 10, 20)).toEqual([['4-0', 2, 2]]);
    lanes.done('4-0');
    expect(begun(lanes)).toEqual([['5-0', 1, undefined]]);
  });

  it('of a lost answer: nobody has seen any of it', () => {
    const lanes = new Lanes();
    lanes.add(entry(1, 'a'));
    lanes.takeOver([entry(2, 'a'), entry(3, 'b')], [], false);
    expect(begun(lanes)).toEqual([['3-0', 1, undefined]]);
  });

  it('give back what was read and not begun, and nothing that was', () => {
    const lanes = new Lanes();
    for (const each of [entry(1, 'a'), entry(2, 'a'), entry(3, 'b'), entry(4, 'b'), entry(5, 'c'), entry(6, 'c')])
      lanes.add(each);
    lanes.later('3-0', 10);
    lanes.done('5-0');
    expect(lanes.unbegun().map(({ id }) => id)).toEqual(['2-0', '4-0', '6-0']);
  });

  it('hand out no more than they are asked for', () => {
    const lanes = new Lanes();
    lanes.takeOver([entry(1, 'a'), entry(2, 'b'), entry(3, 'c')], [], true);
    expect(begun(lanes, 2)).toHaveLength(2);
    expect(begun(lanes, 2)).toHaveLength(1);
    expect(begun(lanes, 0)).toEqual([]);
  });
});

it('entries are read whoever has written them, and ordered as their stream does', () => {
  expect(readEntry('1-0', 2, ['envelope', '{}', 'key', ''])).toEqual({ id: '1-0', count: 2, wire: '{}', key: '' });
  expect(readEntry('1-0', 1, ['a', '1', 'key', 'k'])).toMatchObject({ wire: '{"a":"1","key":"k"}', key: 'k' });
  expect(['10-0', '9-2', '9-10', '9-0'].toSorted(compareIds)).toEqual(['9-0', '9-2', '9-10', '10-0']);
});

it('a batch is split by partition, in order, and what cannot be sent is refused alone', () => {
  const outcomes: PublishOutcome[] = [];
  // Two destinations and one partition: apart all the same.
  const both = splitBatch([outbound('a', 0), outbound('b', 1)], { partitionsOf: () => 1, maxMessageBytes: 1_000 }, []);
  expect(both.map(({ destination, places }) => [destination, places])).toEqual([
    ['a', [0]],
    ['b', [1]],
  ]);
  const batch = [
    outbound('a', 0, { key: 'k' }),
    outbound('b#', 1),
    outbound('a', 2, { key: 'k' }),
    outbound('a', 3, { wire: 'ü'.repeat(60) }),
    outbound('b', 4),
  ].map((message, index) => (index === 3 ? message : { ...message, wire: '{}' }));
  const parts = splitBatch(batch, { partitionsOf: () => 4, maxMessageBytes: 100 }, outcomes);
  expect(parts.map(({ destination, places }) => [destination, places])).toEqual([
    ['a', [0, 2]],
    ['b', [4]],
  ]);
  expect(Object.entries(outcomes).map(([place, { kind }]) => [place, kind])).toEqual([
    ['1', 'refused'],
    ['3', 'refused'],
  ]);
});

it('a chunk ends at 500 messages or 4 MiB, and has one at least', () => {
  const small = Array.from({ length: 1200 }, (_, n) => outbound('a', n));
  expect([chunkEnd(small, 0), chunkEnd(small, 500), chunkEnd(small, 1000)]).toEqual([500, 1000, 1200]);
  const large = Array.from({ length: 3 }, (_, n) => outbound('a', n, { wire: 'x'.repeat(3 * 1024 * 1024) }));
  expect([chunkEnd(large, 0), chunkEnd(large, 1), chunkEnd(large, 2)]).toEqual([1, 2, 3]);
});
