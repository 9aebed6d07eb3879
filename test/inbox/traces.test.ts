/** The span of a delivery: one, whatever becomes of it, on the trace of its message; and the ids of its lines in the log. */
import { trace } from '@opentelemetry/api';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { on } from '../../src/inbox/handlers/handler.ts';
import { retryParkedDeliveries } from '../../src/inbox/stores/parked-operations.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { idOf, parentOf, startTracing, traceOf, type Tracing } from '../support/tracing.ts';
import { batching, handleAll, wires } from './batch-lab.ts';
import { clean, delivery, openLab, Placed, wire, type Lab } from './lab.ts';

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const SENT_BY = '00f067aa0ba902b7';

let lab: Lab;
let tracing: Tracing;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(async () => {
  await clean(lab);
  tracing = startTracing();
});
afterEach(() => tracing.stop());
afterAll(() => lab.dispose());

const traced = (sent: { readonly id: string; readonly text: string }) => ({
  id: sent.id,
  text: JSON.stringify({
    ...(JSON.parse(sent.text) as object),
    traceparent: `00-${TRACE_ID}-${SENT_BY}-01`,
  }),
});

it('tells what came of it, once, and is active while the handler runs', async () => {
  const active: (string | undefined)[] = [];
  const consumer = lab.make({
    handlers: [on(Placed, () => void active.push(trace.getActiveSpan()?.spanContext().spanId))],
  });
  const sent = traced(wire());
  await consumer.handle(delivery(sent));
  await consumer.handle(delivery(sent, { redeliveries: 0 }));
  await consumer.handle(delivery('no message at all'));
  const [handled, duplicate, unreadable] = tracing.named('process shipping');
  expect(active).toEqual([idOf(handled!)]);
  expect(handled?.attributes).toEqual({
    'messaging.system': 'holdfast',
    'messaging.operation.name': 'process',
    'messaging.operation.type': 'process',
    'messaging.destination.name': 'shipping',
    'messaging.message.id': sent.id,
    'messaging.consumer.group.name': 'shipping',
    'holdfast.topic': 'order.placed',
    'holdfast.outcome': 'handled',
  });
  for (const span of [handled, duplicate]) {
    expect(traceOf(span!)).toBe(TRACE_ID);
    expect(parentOf(span!)).toBe(SENT_BY);
  }
  expect(duplicate?.attributes['holdfast.outcome']).toBe('duplicate');
  expect(unreadable?.attributes).toMatchObject({
    'holdfast.outcome': 'parked',
    'error.type': 'HF_ENVELOPE_INVALID',
    'holdfast.topic': 'unreadable',
  });
  expect(tracing.spans()).toHaveLength(3);
});

it('shows each attempt that failed, that it was parked, and the redrive', async () => {
  const lines: Record<string, unknown>[] = [];
  const note = (fields: object): void => void lines.push(fields as Record<string, unknown>);
  const log: Logger = { debug: note, info: note, warn: note, error: note, child: () => log };
  let works = false;
  const consumer = lab.make({
    log,
    retry: { attempts: 2, base: 0 },
    handlers: [
      on(Placed, () => {
        if (!works) throw new RangeError('ann@example.org');
      }),
    ],
  });
  const sent = traced(wire());
  await consumer.handle(delivery(sent));
  const parked = tracing.one('process shipping');
  expect(parked.attributes).toMatchObject({ 'holdfast.outcome': 'parked', 'error.type': 'RangeError' });
  expect(parked.events.map(({ name, attributes }) => [name, attributes])).toEqual([
    ['attempt failed', { 'holdfast.attempt': 1, 'error.type': 'RangeError' }],
    ['attempt failed', { 'holdfast.attempt': 2, 'error.type': 'RangeError' }],
  ]);
  expect(JSON.stringify([parked.attributes, parked.events, parked.status])).not.toContain('ann@');
  const said = lines.filter(({ err }) => err instanceof RangeError);
  expect(said).toHaveLength(2);
  for (const line of said) expect(line).toMatchObject({ id: sent.id, trace_id: TRACE_ID, span_id: idOf(parked) });
  works = true;
  await retryParkedDeliveries(lab.database, 'shipping', { id: sent.id }, { actor: 'ann' });
  await consumer.tickParked();
  const again = tracing.named('process shipping')[1];
  expect(again?.attributes).toMatchObject({ 'holdfast.outcome': 'handled', 'holdfast.redrive': true });
  expect(parentOf(again!)).toBe(SENT_BY);
});

it('is one for each message of a batch, and each handler runs within its own', async () => {
  const active = new Map<string, string | undefined>();
  const consumer = batching(lab, (_order, { message }) => {
    active.set(message.id, trace.getActiveSpan()?.spanContext().spanId);
  });
  const sent = wires(5).map(traced);
  await handleAll(consumer, sent);
  const spans = tracing.named('process shipping');
  expect(spans).toHaveLength(5);
  for (const span of spans) {
    expect(span.attributes['holdfast.outcome']).toBe('handled');
    expect(active.get(String(span.attributes['messaging.message.id']))).toBe(idOf(span));
  }
});
