import { describe, expect, it } from 'vitest';
import {
  expectAfter,
  FAST_MS,
  isExpecting,
  MOST_PATIENCE,
  NOTHING_EXPECTED,
  pace,
  SLEEP_AFTER_MS,
  SLOW_MS,
  type Expectation,
} from '../../src/relay/subscription/pacing.ts';

describe('pace', () => {
  const still = { more: false, expecting: false, idleForMs: 0, canSleep: true };
  it('does not wait when more is there or about to come', () => {
    expect(pace({ ...still, more: true })).toEqual({ kind: 'poll', delayMs: 0 });
    expect(pace({ ...still, expecting: true })).toEqual({ kind: 'poll', delayMs: 0 });
  });
  it('slows down with the silence, then sleeps if it can be woken', () => {
    expect(pace(still)).toEqual({ kind: 'poll', delayMs: FAST_MS });
    expect(pace({ ...still, idleForMs: 500 })).toEqual({ kind: 'poll', delayMs: 10 });
    expect(pace({ ...still, idleForMs: SLEEP_AFTER_MS })).toEqual({ kind: 'sleep' });
    expect(pace({ ...still, idleForMs: 60_000, canSleep: false })).toEqual({ kind: 'poll', delayMs: SLOW_MS });
  });
});

describe('expectAfter', () => {
  /** Polls of a log whose cursor is at 10: what was drawn, and whether the poll found messages. */
  const after = (start: Expectation, ...polls: { drawn: number; found?: boolean }[]) =>
    polls.reduce(
      (state, { drawn, found = false }) => expectAfter(state, { drawn, high: found ? drawn : 10, found }),
      start,
    );
  const times = (count: number, poll: { drawn: number; found?: boolean }) => Array.from({ length: count }, () => poll);

  it('expects nothing while nothing is drawn beyond the cursor', () => {
    expect(isExpecting(after(NOTHING_EXPECTED, { drawn: 10 }))).toBe(false);
  });
  it('expects what is drawn, until patience ends or the message comes', () => {
    expect(isExpecting(after(NOTHING_EXPECTED, ...times(MOST_PATIENCE, { drawn: 11 })))).toBe(true);
    expect(isExpecting(after(NOTHING_EXPECTED, ...times(MOST_PATIENCE + 1, { drawn: 11 })))).toBe(false);
    expect(isExpecting(after(NOTHING_EXPECTED, { drawn: 11 }, { drawn: 11, found: true }))).toBe(false);
  });
  it('expects anew with each seq drawn', () => {
    expect(isExpecting(after(NOTHING_EXPECTED, ...times(50, { drawn: 11 }), { drawn: 12 }))).toBe(true);
  });
  it('loses patience with transactions that stay open, and finds it again', () => {
    let state = NOTHING_EXPECTED;
    for (let drawn = 11; drawn < 20; drawn += 1) state = after(state, ...times(100, { drawn }), { drawn, found: true });
    expect(state.patience).toBe(1);
    for (let drawn = 30; drawn < 40; drawn += 1) {
      state = after(state, ...times(state.patience + 1, { drawn }), { drawn, found: true });
    }
    expect(state.patience).toBe(MOST_PATIENCE);
  });
  it('loses patience with roll-backs', () => {
    const state = after(NOTHING_EXPECTED, ...times(100, { drawn: 11 }), { drawn: 12 });
    expect(state.patience).toBe(MOST_PATIENCE / 2);
  });
});
