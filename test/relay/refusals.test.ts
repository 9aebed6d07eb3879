/** What becomes of refused messages: the decisions alone. */
import { describe, expect, it } from 'vitest';
import {
  failedRecord,
  graver,
  sortRefused,
  splitBehind,
  unsentOf,
  type Refusal,
} from '../../src/relay/delivery/refusals.ts';
import type { LogEntry } from '../../src/relay/log/log-reader.ts';
import type { OutboundMessage, Postponement } from '../../src/transport/port.ts';
import { AWAY, GONE, PLAIN, refusal, RESTING, UNSENT } from './refusal-kinds.ts';

describe('decisions about refusals', () => {
  const entry = (seq: number, key: string | null): LogEntry => ({ seq, key }) as LogEntry;
  const sequence = (refused: readonly (readonly [LogEntry, Refusal])[]) => refused.map(([{ seq }]) => seq);

  it('try in place what may help, and nothing that comes after what does not', () => {
    const refused = [
      [entry(1, 'a'), AWAY],
      [entry(2, 'a'), UNSENT],
      [entry(3, 'b'), PLAIN],
      [entry(4, 'b'), UNSENT],
      [entry(5, 'c'), GONE],
      [entry(6, null), UNSENT],
      [entry(7, 'd'), RESTING],
    ] as const;
    const ordered = sortRefused(refused, true);
    expect([sequence(ordered.given), sequence(ordered.pending)]).toEqual([
      [1, 2, 5, 7],
      [3, 4, 6],
    ]);
    const loose = sortRefused(refused, false);
    expect([sequence(loose.given), sequence(loose.pending)]).toEqual([
      [1, 5, 7],
      [2, 3, 4, 6],
    ]);
  });

  it('tell what failed from what waited behind it', () => {
    const refused = [
      [entry(1, 'a'), AWAY],
      [entry(2, 'a'), RESTING],
      [entry(3, 'a'), AWAY],
      [entry(4, null), RESTING],
      [entry(5, 'b'), RESTING],
    ] as const;
    const { failed, waiting } = splitBehind(refused, true);
    expect([sequence(failed), waiting.map(({ seq }) => seq)]).toEqual([[1, 3, 4, 5], [2]]);
    expect(splitBehind(refused, false).waiting).toEqual([]);
  });

  it('send the unsent again, but none behind a refused one of its key', () => {
    const batch = ['a', 'a', 'b', null, null].map((key) => ({ key })) as OutboundMessage[];
    const outcomes = [GONE, UNSENT, UNSENT, AWAY, UNSENT];
    expect(unsentOf(batch, outcomes, true)).toEqual([2, 4]);
    expect(unsentOf(batch, outcomes, false)).toEqual([1, 2, 4]);
  });

  it('of two destinations believe the one that says worse', () => {
    const order = [UNSENT, PLAIN, AWAY, GONE];
    for (const [n, one] of order.entries())
      for (const other of order.slice(n)) expect([graver(one, other), graver(other, one)]).toEqual([other, other]);
  });

  it('wait as long as the place asks, and the longer of that and the backoff when it was an attempt', () => {
    const policy = { attempts: 3, baseMs: 1_000, capMs: 1_000, factor: 1, withinMs: 100_000 };
    const facts = { attempts: 1, parkedForMs: 0, random: () => 0.5 };
    const after = (later: Postponement, rest = {}) => failedRecord(policy, 1, refusal(later), { ...facts, ...rest });
    expect(after({ delayMs: 200, attempted: true })).toMatchObject({ attempts: 2, retryInMs: 500 });
    expect(after({ delayMs: 900, attempted: true })).toMatchObject({ attempts: 2, retryInMs: 900 });
    expect(after({ delayMs: 200, attempted: false })).toMatchObject({ attempts: 1, retryInMs: 200 });
    expect(after({ delayMs: 200, attempted: true }, { attempts: 2 })).toMatchObject({ attempts: 3, retryInMs: null });
    expect(after({ delayMs: 200, attempted: false }, { parkedForMs: 100_001 })).toMatchObject({ retryInMs: null });
  });

  it('begin anew by themselves only what may help: what is refused for good is for a person', () => {
    const policy = { attempts: 3, baseMs: 1_000, capMs: 1_000, factor: 1, withinMs: Infinity };
    const facts = { attempts: 0, parkedForMs: 0, random: () => 0.5 };
    const record = (each: Refusal) => failedRecord(policy, 1, each, facts);
    expect(record(GONE)).toMatchObject({
      state: 'failed',
      attempts: 1,
      retryInMs: null,
      reason: expect.stringMatching(/for good/),
    });
    expect(record(PLAIN)).toMatchObject({ attempts: 1, retryInMs: 500, reason: expect.stringMatching(/for now/) });
    expect(record(RESTING)).toMatchObject({ attempts: 0, retryInMs: 60_000 });
  });
});
