/**
 * What commands and children make of what they are told: their answer, that of their compensation, and what comes late or twice.
 */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { newCompensation } from '../../src/saga/journal/compensation-state.ts';
import { emptyState, type CallState } from '../../src/saga/journal/state.ts';
import { COMMAND, command, type CommandStep } from '../../src/saga/kinds/command.ts';
import type { AnswerBody, CallAnswer } from '../../src/saga/kinds/kind.ts';
import { SLEEP, sleepFor, sleepUntil } from '../../src/saga/kinds/sleep.ts';
import { kindOf } from '../../src/saga/kinds/table.ts';
import { applyCalled } from '../../src/saga/state/fold-calls.ts';
import { runOf } from './run-recorder.ts';
import { trip } from './trip-saga.ts';

type Read = Parameters<NonNullable<typeof COMMAND.answer>>[2];

function called(kind: CallState['kind'], more: Partial<CallState> = {}): CallState {
  return { ...applyCalled(emptyState(), { call: 'a', kind, step: 'a', child: 'c' }, undefined, 1_000), ...more };
}

const answerTo = (call: CallState, body: AnswerBody, read: Read = null): CallAnswer | null | undefined =>
  kindOf(call).answer?.(call, body, read);

const open = newCompensation(1, 1_000);
const over = { ...open, state: 'done' } as const;
const reply = (to: 'command' | 'compensation', outcome: 'done' | 'rejected') =>
  ({ kind: 'reply', call: 'a', to, outcome }) as const;

describe('a command', () => {
  it('that is refused has not happened; one that is done, and cannot be read, may have', () => {
    const error = { name: 'Error', message: 'no' };
    const refused = answerTo(called('command'), { ...reply('command', 'rejected'), error });
    expect(refused).toEqual({ kind: 'failed', error, doubt: false });
    const unreadable = answerTo(called('command'), reply('command', 'done'), { kind: 'unreadable', error });
    expect(unreadable).toEqual({ kind: 'failed', error, doubt: true });
  });

  it('is compensated by a done of its compensation, once, and by nothing else', () => {
    const call = called('command', { outcome: 'done', compensation: open });
    expect(answerTo(call, reply('compensation', 'done'))).toEqual({ kind: 'compensated' });
    expect(answerTo(call, reply('compensation', 'rejected'))).toMatchObject({ kind: 'not compensated' });
    expect(answerTo({ ...call, compensation: over }, reply('compensation', 'done'))).toBeNull();
    expect(answerTo({ ...call, compensation: null }, reply('compensation', 'done'))).toBeNull();
    expect(answerTo(call, reply('command', 'done'))).toBeNull();
  });

  it('is not answered by a reply to its compensation while it is open', () => {
    expect(answerTo(called('command'), reply('compensation', 'done'), { kind: 'read', output: '1' })).toBeNull();
  });

  it('of which nobody knew is told late that it was done, also when it was compensated for that', () => {
    const lost = called('command', { outcome: 'failed', doubt: true });
    const late = { kind: 'late', outcome: 'done', output: '1' };
    for (const compensation of [null, open, over])
      expect(answerTo({ ...lost, compensation }, reply('command', 'done'), { kind: 'read', output: '1' })).toEqual(
        late,
      );
  });

  it('of which nobody knew is told late that it was refused, unless that says nothing new', () => {
    const lost = called('command', { outcome: 'failed', doubt: true });
    expect(answerTo(lost, reply('command', 'rejected'))).toMatchObject({ kind: 'late', outcome: 'rejected' });
    expect(answerTo({ ...lost, doubt: false }, reply('command', 'rejected'))).toBeNull();
    expect(answerTo({ ...lost, compensation: open }, reply('command', 'rejected'))).toBeNull();
  });
});

describe('a command whose run is loaded', () => {
  const declared = command(message('a', { schema: z.object({}) }), { timeout: '10s' }) as unknown as CommandStep;

  it('waits out the pause before it is sent again, and for its answer if it was', () => {
    const pausing = called('command', { retryAt: 5_000, until: null });
    COMMAND.recover?.(pausing, declared, 3_000);
    expect(pausing).toMatchObject({ retryAt: 5_000, until: null });
    COMMAND.recover?.(pausing, declared, 6_000);
    expect(pausing).toMatchObject({ retryAt: null, until: 15_000 });
  });

  it('waits for the answer of its compensation from when that was sent last', () => {
    const fresh = newCompensation(1, 1_000);
    COMMAND.recoverCompensation?.(fresh, declared, 3_000);
    expect(fresh.replyBy).toBe(1_000 + declared.compensation.timeoutMs);
    const again = { ...newCompensation(1, 1_000), retryAt: 2_000 };
    COMMAND.recoverCompensation?.(again, declared, 3_000);
    expect(again).toMatchObject({ retryAt: null, replyBy: 2_000 + declared.compensation.timeoutMs });
    const pausing = { ...newCompensation(1, 1_000), retryAt: 9_000 };
    COMMAND.recoverCompensation?.(pausing, declared, 3_000);
    expect(pausing).toMatchObject({ retryAt: 9_000, replyBy: null });
  });
});

describe('a reply', () => {
  const Count = message('count', {
    version: 2,
    schema: z.object({ total: z.number() }),
    upcast: { 1: (old) => ({ total: (old as { readonly n: number }).n }) },
  });
  const declared = command(message('a', { schema: z.object({}) }), { reply: Count }) as unknown as CommandStep;
  const read = (body: object) => COMMAND.readAnswer?.(runOf(trip), declared, { ...reply('command', 'done'), ...body });

  it('is read in the version that it says, and in that of today where it says none', async () => {
    expect(await read({ output: { n: 7 }, outputVersion: 1 })).toEqual({ kind: 'read', output: '{"total":7}' });
    expect(await read({ output: { total: 8 } })).toEqual({ kind: 'read', output: '{"total":8}' });
  });

  it('that cannot be read says so', async () => {
    expect(await read({ output: { n: 7 } })).toMatchObject({
      kind: 'unreadable',
      error: { code: 'HF_PAYLOAD_INVALID' },
    });
  });
});

describe('a child', () => {
  const told = (outcome: 'done' | 'compensated' | 'refused') => ({ kind: 'child', call: 'a', outcome }) as const;

  it('that is done gives its result; one that was compensated has failed with its own error', () => {
    expect(answerTo(called('child'), { ...told('done'), output: { a: 1 } })).toEqual({
      kind: 'done',
      output: '{"a":1}',
    });
    const error = { name: 'Rejection', code: 'HF_REJECTED', message: 'no room' };
    expect(answerTo(called('child'), { ...told('compensated'), error })).toEqual({
      kind: 'failed',
      error,
      doubt: false,
    });
  });

  it('that is asked to compensate itself says that it has, or that it cannot', () => {
    const call = called('child', { outcome: 'done', compensation: open });
    expect(answerTo(call, told('compensated'))).toEqual({ kind: 'compensated' });
    expect(answerTo(call, told('refused'))).toMatchObject({
      kind: 'not compensated',
      error: { code: 'HF_SAGA_PIVOTED' },
    });
    expect(answerTo(call, told('done'))).toBeNull();
  });

  it('that was spared before it was done is let go, and one that nobody asked anything is not', () => {
    expect(answerTo(called('child', { outcome: 'failed', compensation: over }), told('done'))).toEqual({
      kind: 'spared',
    });
    expect(answerTo(called('child', { outcome: 'failed' }), told('done'))).toBeNull();
  });
});

describe('a sleep', () => {
  it('ends so long after it was called, or at the time that it was given', () => {
    const until = (asked: Parameters<typeof SLEEP.until>[2]): number | null => SLEEP.until(undefined, 1_000, asked);
    expect(until(sleepFor('2s') as never)).toBe(3_000);
    expect(until(sleepUntil(new Date(9_000)) as never)).toBe(9_000);
  });

  it('until no date is refused', () => {
    expect(() => sleepUntil(new Date('never'))).toThrow(expect.objectContaining({ code: 'HF_DURATION' }));
  });
});
