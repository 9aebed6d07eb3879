/** What a participant answers to a command or a compensation, by the record of its call: decided without a database. */
import { describe, expect, it } from 'vitest';
import { Rejection } from '../../src/errors.ts';
import { decideCompensation, decideRepeated, refusal } from '../../src/saga/participant/participant-decide.ts';
import type { Answer, CallRow, ParticipantCallState } from '../../src/saga/participant/participant-store.ts';

const reply: Answer = { outcome: 'done', output: { reservation: 'r-1' }, outputVersion: 1 };
const command = { topic: 'stock.reserve', version: 1, text: '{}' };
const row = (state: ParticipantCallState, more: Partial<CallRow> = {}): CallRow => ({ state, command, reply, ...more });
const rejected: Answer = refusal(new Rejection('sold out'));

describe('a command that comes again', () => {
  it('is answered as it was the first time', () => {
    expect(decideRepeated(row('done'), 'stock.reserve')).toBe(reply);
    expect(decideRepeated(row('rejected', { reply: rejected }), 'stock.reserve')).toBe(rejected);
  });

  it.each(['compensated', 'tombstone'] as const)('is refused when it was compensated (%s)', (state) => {
    const empty = state === 'tombstone' ? { command: null, reply: null } : {};
    expect(decideRepeated(row(state, empty), 'stock.reserve')).toMatchObject({
      outcome: 'rejected',
      error: { code: 'HF_REJECTED', details: { reason: 'compensated' } },
    });
  });

  it('is refused when the call is on record as another command', () => {
    expect(decideRepeated(row('done'), 'stock.count')).toMatchObject({ error: { code: 'HF_SAGA_DEFINITION' } });
  });

  it('is never done once more for want of its answer', () => {
    expect(decideRepeated(row('done', { reply: null }), 'stock.reserve')).toMatchObject({ outcome: 'rejected' });
  });
});

describe('a compensation', () => {
  it('compensates what the record says was done, whatever the saga knows of it', () => {
    for (const outcome of ['done', 'unknown'] as const)
      expect(decideCompensation(row('done'), 'stock.reserve', outcome)).toEqual({ do: 'compensate', command, reply });
  });

  it.each(['rejected', 'compensated', 'tombstone'] as const)('has nothing to do for what is %s', (state) => {
    for (const outcome of ['done', 'unknown'] as const)
      expect(decideCompensation(row(state), 'stock.reserve', outcome)).toEqual({
        do: 'answer',
        answer: { outcome: 'done' },
      });
  });

  it('without a record keeps a command that may still come from being done', () => {
    expect(decideCompensation(null, 'stock.reserve', 'unknown')).toEqual({ do: 'write tombstone' });
    expect(decideCompensation(null, 'stock.reserve', 'done')).toEqual({ do: 'compensate without record' });
  });

  it('of another command compensates nothing', () => {
    expect(decideCompensation(row('done'), 'stock.count', 'done')).toMatchObject({
      do: 'answer',
      answer: { outcome: 'rejected', error: { code: 'HF_SAGA_DEFINITION' } },
    });
  });
});
