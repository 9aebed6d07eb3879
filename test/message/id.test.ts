/** Ids of messages and runs. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { isUuid, messageId } from '../../src/message/id.ts';

afterEach(() => {
  vi.useRealTimers();
});

const timeOf = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);

describe('ids', () => {
  it('are UUIDs of version 7 with the time in front', () => {
    vi.useFakeTimers({ now: Date.now() + 1_000 });
    const id = messageId();
    expect(isUuid(id)).toBe(true);
    expect([id[14], '89ab'.includes(id[19] ?? '')]).toEqual(['7', true]);
    expect(timeOf(id)).toBe(Date.now());
  });

  it('ascend strictly within a millisecond, over several fetches of random bytes, and when the clock steps back', () => {
    vi.useFakeTimers({ now: Date.now() + 2_000 });
    const ids = Array.from({ length: 5_000 }, messageId);
    vi.setSystemTime(Date.now() - 60_000);
    ids.push(...Array.from({ length: 5_000 }, messageId));
    vi.setSystemTime(Date.now() + 61_000);
    ids.push(...Array.from({ length: 5_000 }, messageId));
    expect(ids).toEqual(ids.toSorted());
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('have random ends', () => {
    const ends = Array.from({ length: 2_000 }, () => messageId().slice(24));
    expect(new Set(ends).size).toBe(ends.length);
  });
});
