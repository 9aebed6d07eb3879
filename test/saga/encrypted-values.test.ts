/** The values of runs as they are kept with a codec: what the database reads is left, everything else is bound to its place. */
import { expect, it } from 'vitest';
import { createAesGcmCodec } from '../../src/message/aes-gcm-codec.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import {
  encryptBody,
  encryptError,
  encryptEvents,
  openBody,
  openEnd,
  openEvent,
} from '../../src/saga/store/encrypted-values.ts';

const codec = createAesGcmCodec({ keys: { k1: Buffer.alloc(32, 1).toString('base64') } });
const SECRET = 'secret-1';
const run = { id: '0197a3c2-5b1e-7cc3-98c4-dc0c0c07398f', saga: 'order' };
const other = { ...run, id: '0197a3c2-5b1e-7cc3-98c4-dc0c0c073990' };
const error = {
  name: 'TypeError',
  code: 'E1',
  status: 503,
  message: SECRET,
  stack: SECRET,
  cause: { name: 'Error', message: SECRET },
  details: { card: SECRET },
};
const value = { card: SECRET };
const EVENTS: readonly JournalEvent[] = [
  { t: 'started', input: value, deadlineAt: 5 },
  { t: 'called', call: 'charge', kind: 'step', step: 'charge', input: value, pivot: true },
  { t: 'attempt failed', call: 'charge', attempt: 1, error, retryAt: 1 },
  { t: 'done', call: 'charge', output: value, degraded: error },
  { t: 'failed', call: 'ship', attempts: 1, error, fallback: error, outcome: 'definite' },
  { t: 'signal', name: 'paid', payload: value, id: 's-1' },
  { t: 'late reply', call: 'ship', outcome: 'done', output: SECRET },
  { t: 'undoing', reason: 'failed', error },
  { t: 'verified', call: 'ship', outcome: 'done', output: value },
  { t: 'compensation failed', call: 'charge', attempt: 1, error },
  { t: 'stuck', why: 'code', call: 'charge', error },
  { t: 'resolved', call: 'charge', as: 'done', output: value, actor: 'ada', reason: 'seen' },
  { t: 'held', result: value },
  { t: 'completed', result: null },
  { t: 'undone' },
];
const kept = JSON.parse(encryptEvents(JSON.stringify(EVENTS), codec, run)) as readonly JournalEvent[];

it('nothing of the values is left, and all that the database reads is', () => {
  expect(JSON.stringify(kept)).not.toContain(SECRET);
  for (const [index, event] of EVENTS.entries()) {
    const { t, call, kind, pivot, outcome } = kept[index] as unknown as Record<string, unknown>;
    expect({ t, call, kind, pivot, outcome }).toEqual({
      t: event.t,
      call: 'call' in event ? event.call : undefined,
      kind: 'kind' in event ? event.kind : undefined,
      pivot: 'pivot' in event ? event.pivot : undefined,
      outcome: 'outcome' in event ? event.outcome : undefined,
    });
  }
  expect(kept[2]).toMatchObject({ error: { name: 'TypeError', code: 'E1', status: 503, message: 'encrypted' } });
});

it('opens to what it was', () => {
  expect(kept.map((event) => openEvent(event, codec, run))).toEqual(EVENTS);
  for (const event of EVENTS) expect(openEvent(event, codec, run)).toBe(event);
});

it('keeps numbers that JavaScript would alter', () => {
  const text = encryptEvents('[{"t":"held","result":{"n":10000000000000000001.50}}]', codec, run);
  const [event] = JSON.parse(text) as readonly [{ readonly result: { $enc: string; iv: string; data: string } }];
  expect(codec.decode(event.result, `run:${run.id}:held::result`)).toBe('{"n":10000000000000000001.50}');
});

it.each([
  ['to another run', (event: JournalEvent) => openEvent(event, codec, other)],
  ['to another call', (event: JournalEvent) => openEvent({ ...event, call: 'refund' } as JournalEvent, codec, run)],
  [
    'to another kind of event',
    (event: JournalEvent) => openEvent({ ...event, t: 'verified' } as JournalEvent, codec, run),
  ],
])('does not open when it was moved %s', (_, open) => {
  expect(() => open(kept[3] as JournalEvent)).toThrow(expect.objectContaining({ code: 'HF_PAYLOAD_ENCRYPTED' }));
});

it('what a run was started with opens in another run of its saga, and in no other saga', () => {
  const [started] = kept as readonly [JournalEvent];
  expect(openEvent(started, codec, other)).toEqual(EVENTS[0]);
  expect(() => openEvent(started, codec, { ...run, saga: 'refund' })).toThrow(/does not open/);
});

it('is not opened without a codec, and said to be encrypted', () => {
  expect(() => openEvent(kept[1] as JournalEvent, null, run)).toThrow(/nothing was given here to open it/);
});

it.each([
  { kind: 'signal', name: 'paid', payload: value },
  { kind: 'reply', call: 'ship', to: 'command', outcome: 'done', outputText: '{"n":1.50}' },
  {
    kind: 'reply',
    call: 'ship',
    to: 'command',
    outcome: 'rejected',
    error: { name: 'Rejection', message: SECRET, code: 'X' },
  },
  { kind: 'child', call: 'nest', outcome: 'done', output: value },
  { kind: 'cancel', reason: 'by hand' },
] as const)('a run message: $kind', (body) => {
  const text = encryptBody(JSON.stringify(body), codec, run.id);
  expect(text).not.toContain(SECRET);
  expect(openBody(JSON.parse(text) as object, codec, run.id)).toEqual(body);
  if (body.kind === 'cancel') return;
  expect(() => openBody(JSON.parse(text) as object, codec, other.id)).toThrow(/does not open/);
});

it('the error that a run ended with, but for the calls that were skipped', () => {
  const ended = { ...error, details: { card: SECRET, skipped: ['charge'] } };
  const stored: unknown = JSON.parse(encryptError(JSON.stringify(ended), codec, `run:${run.id}:error`));
  expect(JSON.stringify(stored)).not.toContain(SECRET);
  expect(stored).toMatchObject({ name: 'TypeError', code: 'E1', details: { skipped: ['charge'] } });
  expect(openEnd(stored, codec, run.id, 'error')).toEqual(ended);
  expect(openEnd('plain', codec, run.id, 'result')).toBe('plain');
});
