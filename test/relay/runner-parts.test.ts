/** The pure parts of a runner: its phases, its waits. */
import { describe, expect, it } from 'vitest';
import { choresPauseMs } from '../../src/relay/delivery/chores.ts';
import type { HeldShard } from '../../src/relay/delivery/held-shard.ts';
import { ReadPatience } from '../../src/relay/delivery/read-patience.ts';
import { enterPhase, type RunnerPhase } from '../../src/relay/delivery/runner-phase.ts';
import { standbyMs } from '../../src/relay/delivery/takeover.ts';

const active: RunnerPhase = { kind: 'active', shard: {} as HeldShard };
const standby: RunnerPhase = { kind: 'standby', superseded: false };

describe('the phases of a runner', () => {
  it('lead from one to the next', () => {
    expect(enterPhase({ kind: 'starting' }, active)).toBe(active);
    expect(enterPhase(standby, active)).toBe(active);
    expect(enterPhase({ kind: 'ended' }, active)).toBe(active);
    expect(enterPhase(active, { kind: 'starting' })).toEqual({ kind: 'starting' });
  });

  it('never lead from one session into another, nor out of the end without a lease', () => {
    expect(() => enterPhase(active, active)).toThrow('A runner cannot become active when it is active.');
    expect(() => enterPhase(active, standby)).toThrow('cannot become standby');
    expect(() => enterPhase({ kind: 'ended' }, { kind: 'starting' })).toThrow('cannot become starting');
  });
});

describe('the waits of a runner', () => {
  it('are for chores a second, twenty times what they took, and a minute at most', () => {
    expect([0, 50, 100, 2_000, 10_000].map(choresPauseMs)).toEqual([1_000, 1_000, 2_000, 40_000, 60_000]);
  });

  it('are on standby until the lease ends, but a tenth of one at most', () => {
    const held = (retryInMs: number) => ({ kind: 'held', owner: 'other', retryInMs }) as const;
    const half = () => 0.5;
    expect(standbyMs(held(10_000), 15_000, half)).toBe(1_550);
    expect(standbyMs(held(20), 15_000, half)).toBe(70);
    expect(standbyMs({ kind: 'superseded', retryInMs: 7_500 }, 15_000, half)).toBe(7_500);
  });

  it('are for reads twice as long after each that had no answer, up to two minutes', () => {
    const patience = new ReadPatience();
    const seen = Array.from({ length: 5 }, () => {
      patience.unanswered(15_000);
      return patience.timeoutMs;
    });
    expect(seen).toEqual([30_000, 60_000, 120_000, 120_000, 120_000]);
    patience.answered();
    expect(patience.timeoutMs).toBe(0);
  });
});
