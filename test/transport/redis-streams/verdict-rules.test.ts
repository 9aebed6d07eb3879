/**
 * What the Redis Streams transport decides beside its lanes: verdicts that are not sent, slots, entries, errors, and how a destination stands.
 */
import { describe, expect, it } from 'vitest';
import { outbound } from '../../../src/testing/transport/kit.ts';
import { isForbidden, isMessageFault } from '../../../src/transport/redis-streams/answers.ts';
import { addArguments, type StreamEntry } from '../../../src/transport/redis-streams/entry.ts';
import { assessRedisStream, type StreamFacts } from '../../../src/transport/redis-streams/queue-state.ts';
import { Slots } from '../../../src/transport/redis-streams/slots.ts';
import { UnsentVerdicts } from '../../../src/transport/redis-streams/unsent-verdicts.ts';

const entry = (id: number): StreamEntry => ({ id: `${id}-0`, key: null, wire: 'x', count: 1 });

describe('verdicts that Redis does not have yet', () => {
  it('are there until they are taken, and again, before all others, when nobody knows whether they arrived', () => {
    const unsent = new UnsentVerdicts();
    expect(unsent.isEmpty).toBe(true);
    unsent.later(entry(1), 10);
    expect(unsent.isEmpty).toBe(false);
    unsent.done('2-0');
    const parcel = unsent.take();
    expect([unsent.isEmpty, parcel.done, parcel.later.map(({ dueMs }) => dueMs)]).toEqual([true, ['2-0'], [10]]);
    unsent.done('3-0');
    unsent.later(entry(4), 20);
    unsent.putBack(parcel);
    expect(unsent.ids()).toEqual(['2-0', '3-0', '1-0', '4-0']);
    unsent.clear();
    expect(unsent.isEmpty).toBe(true);
  });

  it('are no more at once than a script takes', () => {
    const unsent = new UnsentVerdicts();
    for (let id = 0; id < 1_500; id += 1) {
      unsent.done(`${id}-0`);
      unsent.later(entry(id), 0);
    }
    const sizes = [unsent.take(), unsent.take()].map(({ done, later }) => [done.length, later.length]);
    expect([sizes, unsent.isEmpty]).toEqual([
      [
        [1_000, 1_000],
        [500, 500],
      ],
      true,
    ]);
  });
});

it('slots wake those that found none, once, when one is free', () => {
  let ahead = 0;
  const slots = new Slots(2, () => ahead);
  const woken: string[] = [];
  slots.take(3);
  slots.whenFree(() => void woken.push('a'));
  slots.whenFree(() => void woken.push('b'));
  slots.giveBack(1);
  expect([slots.free, woken]).toEqual([0, []]);
  slots.giveBack(1);
  slots.giveBack(1);
  expect([slots.free, woken]).toEqual([2, ['a', 'b']]);
  ahead = 3;
  expect(slots.free).toBe(5);
});

it('a message is written so that an empty key is told from none', () => {
  expect(
    [outbound('d', 1, { key: '' }), outbound('d', 1), outbound('d', 1, { key: 'k' })].map(
      (each) => addArguments(each)[3],
    ),
  ).toEqual(['=', '', '=k']);
});

it('an error is about one message when Redis says that it is too large, and about a right when NOPERM is in it', () => {
  expect(
    [
      'ERR Elements are too large to be stored',
      'ERR string exceeds maximum allowed size (512MB)',
      'ERR Protocol error: invalid bulk length',
      "OOM command not allowed when used memory > 'maxmemory'.",
      'READONLY You can not write against a read only replica.',
    ].map(isMessageFault),
  ).toEqual([true, true, true, false, false]);
  const forbidden = new Error('NOPERM this user has no permissions');
  expect([forbidden, new Error('outer', { cause: forbidden }), new Error('other'), 'NOPERM'].map(isForbidden)).toEqual([
    true,
    true,
    false,
    false,
  ]);
});

describe('a destination', () => {
  const nowMs = 1_000_000;
  const state = (rest: Partial<StreamFacts>) =>
    assessRedisStream({ destination: 'd', meta: {}, partitions: [], readers: 1, owner: null, nowMs, ...rest });
  const partition = { length: 10, pending: 2, delayed: 3, foreign: [], groups: [] };

  it('counts what waits, what is in hand and what is put off apart', () => {
    expect(state({ partitions: [partition, { ...partition, length: 4 }] })).toMatchObject({
      waiting: 5,
      active: 4,
      delayed: 6,
      remarks: [],
    });
  });

  it('is unread when something waits and nobody has been heard of', () => {
    const checks = (rest: Partial<StreamFacts>) => state({ readers: 0, ...rest }).remarks.map(({ check }) => check);
    expect(checks({ partitions: [{ ...partition, delayed: 0 }] })).toEqual(['queue.unread']);
    expect(checks({ partitions: [{ ...partition, length: 5 }] })).toEqual(['queue.unread']);
    expect(checks({ partitions: [{ ...partition, length: 2, delayed: 0 }] })).toEqual([]);
  });

  it('is shared with another database that was seen lately', () => {
    const checks = (meta: Record<string, string>, owner: string | null) =>
      state({ meta, owner }).remarks.map(({ check }) => check);
    const lately = String(nowMs - 1_000);
    expect(checks({ 'owner:a': lately, 'owner:b': String(nowMs - 60_000) }, 'a')).toEqual([]);
    expect(checks({ 'owner:a': lately, 'owner:b': lately }, 'a')).toEqual(['queue.shared']);
    expect(checks({ 'owner:b': lately }, 'a')).toEqual(['queue.shared']);
    expect(checks({ 'owner:b': lately, widest: lately }, null)).toEqual([]);
  });

  it('names strangers that take from it', () => {
    const partitions = [
      { ...partition, foreign: ['x', 'y', 'z', 'w'] },
      { ...partition, groups: ['g'], foreign: ['x'] },
    ];
    expect(state({ partitions })).toMatchObject({
      foreign: 4,
      remarks: [
        { check: 'queue.foreign', what: expect.stringContaining('w, x, y, 1 more') },
        { check: 'queue.foreign', what: expect.stringContaining('g.') },
      ],
    });
  });
});
