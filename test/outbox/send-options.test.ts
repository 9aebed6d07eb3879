import { context, trace } from '@opentelemetry/api';
import { afterEach, describe, expect, test } from 'vitest';
import { checkSendOptions, type SendOptions } from '../../src/outbox/send-options.ts';
import { registerContext } from '../support/active-context.ts';

const check = (options: SendOptions): Record<string, unknown> =>
  JSON.parse(checkSendOptions(options, 3, 'orders', 'here').attributes) as Record<string, unknown>;

const ID = '0190b5a8-6d3c-7000-8000-000000000001';
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const OTHER_TRACE = '00-11111111111111111111111111111111-2222222222222222-00';

test('the attributes hold what was given and nothing else', () => {
  expect(check({})).toEqual({ schemaversion: 3, source: 'orders' });
  expect(
    check({
      correlationId: 'c',
      causationId: 'd',
      traceparent: TRACE,
      tracestate: 'a=b',
      headers: { 'x-tenant_1.a': 't' },
    }),
  ).toEqual({
    schemaversion: 3,
    source: 'orders',
    correlationid: 'c',
    causationid: 'd',
    traceparent: TRACE,
    tracestate: 'a=b',
    headers: { 'x-tenant_1.a': 't' },
  });
});

describe('causedBy', () => {
  const cause = { id: ID, correlationId: 'flow-1', traceparent: TRACE, tracestate: 'a=b' };

  test('passes on correlation and trace, and is the causation', () => {
    expect(check({ causedBy: cause })).toMatchObject({
      correlationid: 'flow-1',
      causationid: ID,
      traceparent: TRACE,
      tracestate: 'a=b',
    });
  });

  test('starts a correlation by its own id when it has none', () => {
    expect(check({ causedBy: { ...cause, correlationId: null } })).toMatchObject({
      correlationid: ID,
      causationid: ID,
    });
  });

  test('gives way to what is said', () => {
    const attributes = check({
      causedBy: cause,
      correlationId: 'own',
      causationId: 'own-too',
      traceparent: OTHER_TRACE,
    });
    expect(attributes).toMatchObject({ correlationid: 'own', causationid: 'own-too', traceparent: OTHER_TRACE });
    expect(attributes).not.toHaveProperty('tracestate');
  });
});

describe('the active span', () => {
  const span = { traceId: '11111111111111111111111111111111', spanId: '2222222222222222', traceFlags: 0 };
  afterEach(() => context.disable());

  test('is the trace of a message that was given none and has no cause with one', () => {
    registerContext(trace.setSpan(context.active(), trace.wrapSpanContext(span)));
    const cause = { id: ID, correlationId: null, traceparent: null, tracestate: null };
    expect(check({})).toMatchObject({ traceparent: OTHER_TRACE });
    expect(check({ causedBy: cause })).toMatchObject({ traceparent: OTHER_TRACE });
    expect(check({ traceparent: TRACE })).toMatchObject({ traceparent: TRACE });
    expect(check({ causedBy: { ...cause, traceparent: TRACE } })).toMatchObject({ traceparent: TRACE });
  });
});

test('an id is kept in the one way in which PostgreSQL prints it', () => {
  expect(checkSendOptions({ id: ID.toUpperCase() }, 1, undefined, 'here').id).toBe(ID);
});

test('a delay or a time is kept as the database will read it', () => {
  expect(checkSendOptions({ delay: '2h' }, 1, undefined, 'here').due).toEqual({ delay_ms: 7_200_000 });
  expect(checkSendOptions({ deliverAt: new Date(0) }, 1, undefined, 'here').due).toEqual({
    due_at: '1970-01-01T00:00:00.000Z',
  });
  expect(checkSendOptions({}, 1, undefined, 'here').due).toBeUndefined();
});

test.each<[string, object, string]>([
  ['unknown option', { keys: 'a' }, 'HF_OPTION_UNKNOWN'],
  ['id no UUID', { id: 'o-1' }, 'HF_CONFIG'],
  ['header name in capitals', { headers: { 'X-Tenant': 'a' } }, 'HF_CONFIG'],
  ['header name too long', { headers: { ['a'.repeat(101)]: 'a' } }, 'HF_CONFIG'],
  ['header name empty', { headers: { '': 'a' } }, 'HF_CONFIG'],
  ['header no text', { headers: { a: 1 } }, 'HF_CONFIG'],
  ['headers no object', { headers: ['a'] }, 'HF_CONFIG'],
  ['headers null', { headers: null }, 'HF_CONFIG'],
  ['NUL in a header', { headers: { a: '\0' } }, 'HF_PAYLOAD_TEXT'],
  ['lone surrogate in an id', { correlationId: '\ud800' }, 'HF_PAYLOAD_TEXT'],
  ['headers too long', { headers: { a: 'x'.repeat(20_000) } }, 'HF_PAYLOAD_TOO_LARGE'],
  ['correlation empty', { correlationId: '' }, 'HF_CONFIG'],
  ['causedBy no message', { causedBy: {} }, 'HF_CONFIG'],
  ['causedBy null', { causedBy: null }, 'HF_CONFIG'],
  ['both delay and deliverAt', { delay: 1, deliverAt: new Date() }, 'HF_CONFIG'],
  ['deliverAt invalid', { deliverAt: new Date('never') }, 'HF_CONFIG'],
  ['deliverAt a text', { deliverAt: '2030-01-01' }, 'HF_CONFIG'],
  ['deliverAt before 1970', { deliverAt: new Date(-1) }, 'HF_CONFIG'],
  ['deliverAt in seconds', { deliverAt: new Date(1e15) }, 'HF_CONFIG'],
  ['delay unreadable', { delay: '1 hour' }, 'HF_DURATION'],
  ['delay negative', { delay: -1 }, 'HF_DURATION'],
  ['delay of decades', { delay: '9999d' }, 'HF_CONFIG'],
])('%s is refused', (_name, options, code) => {
  expect(() => checkSendOptions(options, 1, undefined, 'here')).toThrow(expect.objectContaining({ code }));
});
