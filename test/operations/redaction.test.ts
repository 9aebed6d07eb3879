/** What is shown of runs and messages has passed the redactor wherever users' values stand, and nowhere else. */
import { describe, expect, it } from 'vitest';
import type { ParkedDetails } from '../../src/operations/parked/parked.ts';
import type { MessageDetails } from '../../src/operations/reads/messages.ts';
import { redactMessage, redactParked } from '../../src/operations/redaction/redact-message.ts';
import { redactJournal, redactRun } from '../../src/operations/redaction/redact-run.ts';
import type { RunDetails } from '../../src/operations/sagas/sagas.ts';
import { createRedactor, showAll } from '../../src/runtime/redact.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';

const SECRET = 'ann@example.org';
const redact = createRedactor(['email', 'customer.email']);
const given = { email: SECRET, id: 'o-1', customer: { email: SECRET } };
const error = {
  name: 'Error',
  message: 'no',
  details: given,
  cause: { name: 'Error', message: 'why', details: given },
  errors: [{ name: 'Error', message: 'one', details: given }],
};

const EVENTS: readonly JournalEvent[] = [
  { t: 'started', input: given },
  { t: 'called', call: 'charge', kind: 'step', step: 'charge', input: given },
  { t: 'attempt failed', call: 'charge', attempt: 1, error, retryAt: 1 },
  { t: 'done', call: 'charge', output: given, degraded: error },
  { t: 'failed', call: 'ship', attempts: 1, error, fallback: error, outcome: 'definite' },
  { t: 'signal', name: 'paid', payload: given },
  { t: 'late reply', call: 'ship', outcome: 'done', output: given },
  { t: 'undoing', reason: 'failed', error },
  { t: 'verified', call: 'ship', outcome: 'done', output: given },
  { t: 'compensation failed', call: 'ship', attempt: 1, error },
  { t: 'stuck', why: 'code', error },
  { t: 'resolved', call: 'ship', as: 'done', output: given, actor: 'ann', reason: 'by hand' },
  { t: 'held', result: given },
  { t: 'completed', result: given },
];

describe('redaction of a run', () => {
  it('reaches every value and every error of a journal', () => {
    const rows = [{ n: 0, at: 1, events: EVENTS }];
    const shown = redactJournal(rows, redact);
    expect(JSON.stringify(shown)).not.toContain(SECRET);
    expect(shown[0]?.events).toHaveLength(EVENTS.length);
    expect(shown[0]?.events[0]).toEqual({
      t: 'started',
      input: { email: '[redacted]', id: 'o-1', customer: { email: '[redacted]' } },
    });
    expect(redactJournal(rows, showAll)).toBe(rows);
    // A new event with values has to be thought of: all the fields that hold some are hidden above.
    expect(JSON.stringify(rows)).toContain(SECRET);
  });

  it('reaches its summary, its children, its result and what it has not taken in', () => {
    const run = { id: '1', error } as unknown as RunDetails['run'];
    const details = {
      run,
      result: given,
      journal: [{ n: 0, at: 1, events: EVENTS }],
      runMessages: [
        { id: '1', kind: 'signal', body: { kind: 'signal', name: 'paid', payload: given }, at: new Date(0) },
        { id: '2', kind: 'reply', body: { kind: 'reply', outputText: JSON.stringify(given), error }, at: new Date(0) },
        { id: '3', kind: 'strange', body: 'text', at: new Date(0) },
      ],
      children: [run],
    } as unknown as RunDetails;
    const shown = redactRun(details, redact);
    expect(JSON.stringify(shown)).not.toContain(SECRET);
    expect(shown.runMessages[2]?.body).toBe('text');
    expect(shown.run.error).toMatchObject({ name: 'Error', message: 'no', details: { id: 'o-1' } });
  });
});

describe('redaction of a message', () => {
  it('hides in its payload alone', () => {
    const found = { id: '1', key: SECRET, envelope: { id: '1', data: given } } as unknown as MessageDetails;
    expect(redactMessage(found, redact)).toMatchObject({
      key: SECRET,
      envelope: { id: '1', data: { email: '[redacted]', id: 'o-1' } },
    });
    const scheduled = { scheduled: { id: '1', topic: 'a', key: null, dueAt: new Date(0), payload: given } };
    expect(JSON.stringify(redactMessage(scheduled, redact))).not.toContain(SECRET);
  });

  it('hides a parked one that nobody could read', () => {
    const parked = (data: unknown): ParkedDetails => ({ id: '1', data }) as ParkedDetails;
    expect(redactParked(parked(given), redact).data).toMatchObject({ email: '[redacted]', id: 'o-1' });
    expect(redactParked(parked(`{"email":"${SECRET}`), redact).data).toBe('[redacted]');
    expect(redactParked(parked('as it came'), showAll).data).toBe('as it came');
  });
});
