/** Lists on a terminal of 80 columns, with the longest that users have in them. */
import { describe, expect, it } from 'vitest';
import { formatMessages } from '../../src/cli/verbs/outbox.ts';
import { formatParkedList } from '../../src/cli/verbs/parked.ts';
import { formatRuns } from '../../src/cli/verbs/saga-ls.ts';
import { createStyle } from '../../src/cli/output/style.ts';
import { RUN_ID, T0, view } from './sample-runs.ts';

const ui = { style: createStyle(false), width: 80 };
const long = 'a-name-that-somebody-found-good-and-nobody-can-read';
const ALL = { rows: 2, reached: null, complete: true };
const widest = (text: string): number => Math.max(...text.split('\n').map((line) => line.length));
/** The table alone: what stands below it is sentences, which a terminal may fold. */
const table = (text: string): string => text.split('\n\n')[0] ?? '';

describe('at 80 columns', () => {
  it('runs fit, with their whole ids', () => {
    const { run } = view('compensating', [], 3_600_000 * 30, {
      saga: long,
      version: 12,
      key: long,
      reason: 'timed out',
      error: { name: 'Error', message: long },
    });
    const text = table(
      formatRuns(
        [{ database: null, value: { runs: [run, run], next: null, looked: ALL, counts: [], atLeast: false } }],
        { filtered: false, limit: 20 },
        ui,
      ),
    );
    expect(text).toContain(RUN_ID);
    expect(widest(text)).toBeLessThanOrEqual(80);
  });

  it('parked messages fit', () => {
    const parked = {
      kind: 'consumer' as const,
      where: long,
      id: RUN_ID,
      seq: null,
      position: 3,
      topic: 'order.item.added',
      key: long,
      state: 'behind' as const,
      reason: long,
      error: long,
      attempts: 12,
      parkedAt: new Date(T0),
      parkedForMs: 3_600_000 * 30,
      retryInMs: 3_600_000 * 30,
    };
    const page = { parked: [parked], next: null, looked: { rows: 1, complete: true } };
    const text = table(formatParkedList([{ database: null, value: page }], false, ui));
    expect(text).toContain(RUN_ID);
    expect(widest(text)).toBeLessThanOrEqual(80);
  });

  it('messages fit', () => {
    const message = { seq: 123_456_789, id: RUN_ID, topic: long, key: long, payloadBytes: 1e6, ageMs: 3_600_000 * 30 };
    const text = table(formatMessages([message as never], { filtered: false, next: null, looked: ALL }, ui));
    expect(text).toContain(RUN_ID);
    expect(widest(text)).toBeLessThanOrEqual(80);
  });
});
