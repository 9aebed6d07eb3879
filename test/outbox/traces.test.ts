/** The span of a message that is sent, and what the message carries of it. */
import { context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { prepareMessage } from '../../src/outbox/prepare.ts';
import type { SendOptions } from '../../src/outbox/send-options.ts';
import { startPublish } from '../../src/relay/delivery/publish-span.ts';
import { encodeWire } from '../../src/message/envelope.ts';
import { idOf, linksOf, parentOf, startTracing, traceOf, type Tracing } from '../support/tracing.ts';

const Placed = message('order.placed', { schema: z.object({ n: z.number() }) });
const ID = '0190b5a8-6d3c-7000-8000-000000000001';
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const CAUSE = { id: ID, correlationId: null, traceparent: TRACE, tracestate: 'a=b' };

let tracing: Tracing;
beforeEach(() => {
  tracing = startTracing();
});
afterEach(() => tracing.stop());

interface Sent {
  readonly id: string;
  readonly attributes: { readonly traceparent?: string; readonly tracestate?: string; readonly headers?: object };
}

async function send(options: SendOptions = {}, payload: { n: number } = { n: 1 }): Promise<Sent> {
  const prepared = await prepareMessage(
    { type: Placed, payload, options },
    { source: undefined, maxBytes: 1_000, where: 'here' },
  );
  return { id: prepared.id, attributes: JSON.parse(prepared.attributes) as Sent['attributes'] };
}

it('is what the message carries, and part of what runs just then', async () => {
  const outer = trace.getTracer('http').startSpan('POST /orders');
  // More than the message that is being handled: that is what it runs in.
  const { id, attributes } = await context.with(trace.setSpan(ROOT_CONTEXT, outer), () => send({ causedBy: CAUSE }));
  const span = tracing.one('send order.placed');
  expect(attributes.traceparent).toBe(`00-${traceOf(span)}-${idOf(span)}-01`);
  expect(parentOf(span)).toBe(outer.spanContext().spanId);
  expect(span.kind).toBe(SpanKind.PRODUCER);
  expect(span.attributes).toEqual({
    'messaging.system': 'holdfast',
    'messaging.operation.name': 'send',
    'messaging.operation.type': 'create',
    'messaging.destination.name': 'order.placed',
    'messaging.message.id': id,
    'holdfast.topic': 'order.placed',
  });
});

it('is part of what the cause was part of, where nothing runs that is traced', async () => {
  const { attributes } = await send({ causedBy: CAUSE });
  expect(parentOf(tracing.one('send order.placed'))).toBe('00f067aa0ba902b7');
  expect(attributes.traceparent?.slice(3, 35)).toBe(TRACE.slice(3, 35));
  expect(attributes.tracestate).toBe('a=b');
});

it('is not made where the sender says the trace himself', async () => {
  expect((await send({ traceparent: TRACE })).attributes.traceparent).toBe(TRACE);
  expect(tracing.spans()).toEqual([]);
});

it('says that a message was refused', async () => {
  await expect(send({}, { n: 'ann@example.org' as unknown as number })).rejects.toMatchObject({
    code: 'HF_PAYLOAD_INVALID',
  });
  await expect(send({ key: 7 as unknown as string })).rejects.toThrow();
  await expect(send({ headers: 'x' as never })).rejects.toMatchObject({ code: 'HF_CONFIG' });
  const refused = tracing.named('send order.placed');
  expect(refused).toHaveLength(3);
  for (const span of refused) expect(span.status.code).toBe(SpanStatusCode.ERROR);
  expect(refused[0]?.attributes['error.type']).toBe('HF_PAYLOAD_INVALID');
  expect(JSON.stringify(refused.map(({ attributes, events }) => [attributes, events]))).not.toContain('ann@');
});

it('sends baggage along, unless the sender has a header of that name or there is no room', async () => {
  const baggage = propagation.createBaggage({ tenant: { value: 'acme' } });
  const within = (options: SendOptions): Promise<Sent> =>
    context.with(propagation.setBaggage(ROOT_CONTEXT, baggage), () => send(options));
  expect((await within({})).attributes.headers).toEqual({ baggage: 'tenant=acme' });
  expect((await within({ headers: { a: 'b' } })).attributes.headers).toEqual({ a: 'b', baggage: 'tenant=acme' });
  expect((await within({ headers: { baggage: 'own=1' } })).attributes.headers).toEqual({ baggage: 'own=1' });
  // It would be sent without a trace, and is sent with one.
  const full = { headers: { a: 'x'.repeat(16_000) } };
  expect((await within(full)).attributes.headers).toEqual(full.headers);
  expect((await send({})).attributes.headers).toBeUndefined();
});

it('of a batch that is published links to each message, and to no more than an SDK keeps', () => {
  const outbound = (n: number, destination: string) => {
    const spanId = n.toString(16).padStart(16, '0');
    const headers =
      n === 0
        ? '{"schemaversion": 1}'
        : `{"headers": {"a": "}"}, "traceparent": "00-${'1'.repeat(32)}-${spanId}-01", "schemaversion": 1}`;
    const payload = `{"traceparent": "00-${'2'.repeat(32)}-${'2'.repeat(16)}-01"}`;
    const row = { id: ID, topic: 'a', key: null, time: '2026-01-01T00:00:00Z', payload, headers };
    return { id: ID, topic: 'a', key: null, destination, wire: encodeWire(row), replayId: null };
  };
  const by = { subscription: 'main', transport: 'memory' };
  startPublish([outbound(0, 'q'), outbound(1, 'q'), outbound(2, 'q')], by)?.end();
  startPublish(
    Array.from({ length: 300 }, (_, n) => outbound(n + 1, n % 2 === 0 ? 'q' : 'r')),
    by,
  )?.end();
  const one = tracing.one('publish q');
  expect(linksOf(one)).toEqual(['0000000000000001', '0000000000000002']);
  expect(one.kind).toBe(SpanKind.CLIENT);
  expect(one.attributes).toMatchObject({ 'messaging.destination.name': 'q', 'messaging.batch.message_count': 3 });
  const several = tracing.one('publish several queues');
  expect(several.links).toHaveLength(128);
  expect(several.attributes).not.toHaveProperty('messaging.destination.name');
});
