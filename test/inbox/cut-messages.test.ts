import { expect, it } from 'vitest';
import { CutMessages } from '../../src/inbox/delivery/cut-messages.ts';
import type { AttemptOutcome } from '../../src/inbox/handlers/decide.ts';

it('counts cuts in a row, past all that says nothing of the handler', () => {
  const messages = new CutMessages();
  expect(messages.note('a', 'handled')).toBe(0);
  expect([messages.note('a', 'cut'), messages.note('a', 'cut'), messages.note('b', 'cut')]).toEqual([1, 2, 1]);
  const nothing: readonly AttemptOutcome['kind'][] = [
    'unavailable',
    'busy',
    'awaiting',
    'behind',
    'unhandled',
    'aborted',
  ];
  for (const kind of nothing) expect(messages.note('a', kind)).toBe(2);
  expect(messages.note('a', 'cut')).toBe(3);
});

it('begins anew after a handler that has run to its end', () => {
  const messages = new CutMessages();
  for (const kind of ['handled', 'duplicate', 'failed', 'conflict', 'lost', 'gone'] as const) {
    messages.note('a', 'cut');
    expect([kind, messages.note('a', kind), messages.note('a', 'cut')]).toEqual([kind, 0, 1]);
    messages.note('a', 'handled');
  }
});

it('forgets the oldest of ten thousand', () => {
  const messages = new CutMessages();
  for (let n = 0; n < 10_000; n += 1) messages.note(`m-${n}`, 'cut');
  messages.note('m-0', 'cut');
  messages.note('one more', 'cut');
  expect([messages.note('m-0', 'busy'), messages.note('m-1', 'busy'), messages.note('m-2', 'busy')]).toEqual([2, 0, 1]);
});
