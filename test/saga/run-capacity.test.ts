/** How much more a worker takes into memory: of runs, of one saga, and of bytes. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createRegistry, saga, type AnySaga } from '../../src/saga/definition/definition.ts';
import type { Engine } from '../../src/saga/engine/engine.ts';
import { RunCapacity } from '../../src/saga/worker/run-capacity.ts';

const MEBIBYTE = 1024 * 1024;
const sagaOf = (name: string, concurrency?: number): AnySaga =>
  saga({ name, input: z.object({}), steps: {}, ...(concurrency === undefined ? {} : { concurrency }), async run() {} });
const [few, many] = [sagaOf('few', 3), sagaOf('many')] as const;

/** A worker of ten runs at once, with these in memory. */
function capacityOf({ inMemory = 0, waiting = 0, bytes = 0, runMessageBytes = 0, ofFew = 0 } = {}) {
  const engine = {
    inMemory,
    waiting,
    bytes,
    runMessageBytes,
    countOf: (name: string) => (name === 'few' ? ofFew : inMemory - waiting - ofFew),
  } as unknown as Engine;
  return new RunCapacity(engine, createRegistry([few, many], 'test'), 10);
}

describe('a worker', () => {
  it('has room for as many runs as it may have at once, those that only wait not counted', () => {
    expect(capacityOf().runs).toBe(10);
    expect(capacityOf({ inMemory: 9, waiting: 5 }).runs).toBe(6);
    expect(capacityOf({ inMemory: 30, waiting: 5 }).runs).toBe(0);
  });

  it('has room for a saga as that says itself, and no more than for all', () => {
    expect(capacityOf().runsOf(few)).toBe(3);
    expect(capacityOf({ inMemory: 5, ofFew: 2 }).runsOf(few)).toBe(1);
    expect(capacityOf({ inMemory: 9, ofFew: 0 }).runsOf(few)).toBe(1);
    expect(capacityOf({ inMemory: 9, ofFew: 9 }).runsOf(few)).toBe(0);
    expect(capacityOf({ inMemory: 9 }).runsOf(many)).toBe(1);
  });

  it('gives each saga its part, and leaves out those without room', () => {
    const limits = (from: Parameters<typeof capacityOf>[0]) =>
      Object.fromEntries(
        capacityOf(from)
          .shares()
          .map((each) => [each.saga, each.limit]),
      );
    expect(limits({})).toEqual({ few: 3, many: 5 });
    expect(limits({ inMemory: 3, ofFew: 3 })).toEqual({ many: 4 });
    expect(limits({ inMemory: 10 })).toEqual({});
  });

  it('takes up no more bytes than it may have, but one run in any case', () => {
    const most = capacityOf().bytes;
    expect(most).toBeGreaterThanOrEqual(32 * MEBIBYTE);
    expect(capacityOf({ inMemory: 1, bytes: MEBIBYTE }).bytes).toBe(most - MEBIBYTE);
    expect(capacityOf({ inMemory: 1, bytes: 2 * most }).bytes).toBeLessThan(0);
    expect(capacityOf({ inMemory: 0, bytes: 2 * most }).bytes).toBe(most);
  });

  it('takes no more messages than fit beside those that are not taken in yet', () => {
    expect(capacityOf({ runMessageBytes: 30 * MEBIBYTE }).messageBytes).toBe(2 * MEBIBYTE);
    expect(capacityOf({ runMessageBytes: 40 * MEBIBYTE }).messageBytes).toBe(0);
  });
});
