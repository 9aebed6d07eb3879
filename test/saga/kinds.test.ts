/**
 * What the kinds of calls say of themselves: each ends in its own way, and all of them are in the table.
 */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { hasEffect, STEP_KINDS } from '../../src/saga/definition/kind-names.ts';
import type { StepDefinition } from '../../src/saga/definition/steps.ts';
import { emptyState, type CallState } from '../../src/saga/journal/state.ts';
import { command } from '../../src/saga/kinds/command.ts';
import type { EndsBy } from '../../src/saga/kinds/kind.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { kindOf } from '../../src/saga/kinds/table.ts';
import { applyCalled } from '../../src/saga/state/fold-calls.ts';

const Reserve = message('reserve', { schema: z.object({ id: z.string() }) });
const ENDS: Readonly<Record<CallState['kind'], EndsBy>> = {
  step: 'attempt',
  transaction: 'transaction',
  command: 'answer',
  emit: 'commit',
  child: 'answer',
  sleep: 'time',
  wait: 'signal',
};
const names = Object.keys(ENDS) as readonly CallState['kind'][];

function called(kind: CallState['kind']): CallState {
  return applyCalled(emptyState(), { call: 'a', kind, step: 'a' }, undefined, 1_000);
}

describe('every kind', () => {
  it.each(names)('says how its calls end: %s', (kind) => {
    expect(kindOf({ kind }).endsBy).toBe(ENDS[kind]);
  });

  it.each(names)('says what it waits for, or is under way: %s', (kind) => {
    const waiting = kindOf({ kind }).waiting?.({ step: 'a', child: null }, null);
    expect(waiting).toBe(
      {
        step: undefined,
        transaction: undefined,
        emit: undefined,
        command: 'waits for its reply',
        child: 'waits for its child',
        sleep: 'sleeps ',
        wait: 'waits for the signal a',
      }[kind],
    );
  });

  it('has an effect and is declared, or is a wait of the code', () => {
    expect(names.filter(hasEffect)).toEqual(STEP_KINDS);
    expect(names.filter((kind) => !hasEffect(kind))).toEqual(['sleep', 'wait']);
  });

  it.each(['step', 'transaction'] as const)('that is attempted here has attempts: %s', (kind) => {
    expect(kindOf({ kind })).toMatchObject({
      attempt: expect.any(Function),
      attemptCompensation: expect.any(Function),
    });
  });
});

describe('a command that was sent', () => {
  const declared: StepDefinition = command(Reserve, { timeout: '10s' });
  const due = (call: CallState, now: number) =>
    kindOf(call).whenDue({ saga: { name: 's' }, call, now, ended: false, signal: undefined }, declared);

  it('counts a missed answer, and one that nobody was there for does not count', () => {
    const call = { ...called('command'), until: 11_000 };
    expect(due(call, 11_000)).toMatchObject({ kind: 'unanswered', uncounted: false });
    expect(due(call, 20_000)).toMatchObject({ kind: 'unanswered', uncounted: true });
    expect(due({ ...call, retryAt: 11_000 }, 11_000)).toEqual({ kind: 'send again' });
  });

  it('waits on from where it was when its run is loaded', () => {
    const call = { ...called('command'), retryAt: 2_000, until: 1_500 };
    kindOf(call).recover?.(call, declared, 3_000);
    expect(call).toMatchObject({ retryAt: null, until: 12_000 });
  });

  it('takes its first answer, and a later one only where the first was none', () => {
    const done = { kind: 'reply', call: 'a', to: 'command', outcome: 'done' } as const;
    const read = { kind: 'read', output: '1' } as const;
    const call = called('command');
    expect(kindOf(call).answer?.(call, done, read)).toEqual({ kind: 'done', output: '1' });
    expect(kindOf(call).answer?.({ ...call, outcome: 'failed', doubt: true }, done, read)).toMatchObject({
      kind: 'late',
    });
    expect(kindOf(call).answer?.({ ...call, outcome: 'done' }, done, read)).toBeNull();
  });
});

describe('a step whose whole time is up', () => {
  it('is overdue, unless the end of an attempt has yet to be taken in', () => {
    const call = { ...called('step'), until: 2_000 };
    const declared: StepDefinition = step({ run: () => 1, deadline: '1s' });
    const due = (ended: boolean) =>
      kindOf(call).whenDue({ saga: { name: 's' }, call, now: 2_000, ended, signal: undefined }, declared);
    expect(due(false)).toMatchObject({ kind: 'overdue', error: { code: 'HF_STEP_TIMEOUT' } });
    expect(due(true)).toEqual({ kind: 'attempt' });
  });
});
