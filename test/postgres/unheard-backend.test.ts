/** What the server says of one of its processes, of which no answer comes. */
import { expect, it } from 'vitest';
import { whyUnheard, type SeenBackend } from '../../src/postgres/unheard-backend.ts';

const active: SeenBackend = { isNumbered: true, isThere: true, state: 'active', waitEvent: null };

it.each<readonly [string, Partial<SeenBackend>, ReturnType<typeof whyUnheard>]>([
  ['at work', {}, 'hangs'],
  ['waiting for a lock', { waitEvent: 'transactionid' }, 'hangs'],
  ['waiting for what the step itself copies in', { waitEvent: 'ClientRead' }, 'hangs'],
  ['waiting for us in a transaction', { state: 'idle in transaction', waitEvent: 'ClientRead' }, 'silent'],
  ['waiting for us in one that has failed', { state: 'idle in transaction (aborted)' }, 'silent'],
  ['waiting for us before BEGIN', { state: 'idle', waitEvent: 'ClientRead' }, 'silent'],
  ['that cannot send its answer', { waitEvent: 'ClientWrite' }, 'silent'],
  ['that is gone', { isThere: false, state: null }, 'silent'],
  ['that we may not see', { state: null }, 'unknown'],
  ['of a server that does not say', { state: 'disabled' }, 'unknown'],
  ['whose number a pooler has said', { isNumbered: false, isThere: false, state: null }, 'unknown'],
  ['whose number a pooler has said, and another one has', { isNumbered: false, state: 'idle' }, 'unknown'],
])('one %s', (_, seen, why) => {
  expect(whyUnheard({ ...active, ...seen })).toBe(why);
});
