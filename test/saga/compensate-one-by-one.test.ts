/**
 * What is compensated next, when a late reply makes something necessary while something else is being compensated: one after the other.
 */
import { expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { emptyState } from '../../src/saga/journal/state.ts';
import { apply } from '../../src/saga/state/fold.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { nextCompensation } from '../../src/saga/journal/compensation.ts';

const Reserve = message('stock.reserve', { schema: z.object({}) });
const Release = message('stock.release', { schema: z.object({}) });
const steps = new Map(
  Object.entries({
    charge: step({ run: () => {}, compensate: () => {} }),
    reserve: command(Reserve, { compensate: Release }),
  }),
);
const error = { name: 'Rejection', message: 'sold out' };
const history: readonly JournalEvent[] = [
  { t: 'started', input: {} },
  { t: 'called', call: 'charge', kind: 'step', step: 'charge' },
  { t: 'called', call: 'reserve', kind: 'command', step: 'reserve' },
  { t: 'done', call: 'charge' },
  { t: 'failed', call: 'reserve', attempts: 1, error, outcome: 'definite' },
  { t: 'undoing', reason: 'failed' },
  { t: 'compensating', call: 'charge', round: 1 },
  { t: 'late reply', call: 'reserve', outcome: 'done' },
];

it('waits for the compensation that is under way', () => {
  const state = emptyState();
  const next = () => nextCompensation(state, (name) => steps.get(name));
  for (const event of history) apply(state, event, 0);
  expect(next()).toMatchObject({ kind: 'under way', call: { id: 'charge' } });
  apply(state, { t: 'compensated', call: 'charge' }, 0);
  expect(next()).toMatchObject({ kind: 'compensate', call: { id: 'reserve' } });
  apply(state, { t: 'compensating', call: 'reserve', round: 1 }, 0);
  apply(state, { t: 'compensated', call: 'reserve' }, 0);
  expect(next()).toEqual({ kind: 'finished' });
});
