import { context, createTraceState, trace } from '@opentelemetry/api';
import { afterEach, describe, expect, test } from 'vitest';
import { currentTraceContext } from '../../src/runtime/telemetry.ts';
import { registerContext } from '../support/active-context.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const spanId = '00f067aa0ba902b7';

describe('currentTraceContext', () => {
  afterEach(() => context.disable());

  test('is null without an SDK', () => {
    expect(currentTraceContext()).toBeNull();
  });

  test('is the active span in W3C form', () => {
    const traceState = createTraceState('vendor=1');
    registerContext(
      trace.setSpan(context.active(), trace.wrapSpanContext({ traceId, spanId, traceFlags: 1, traceState })),
    );
    expect(currentTraceContext()).toEqual({ traceparent: `00-${traceId}-${spanId}-01`, tracestate: 'vendor=1' });
  });

  test('is null for a span that records nothing', () => {
    registerContext(
      trace.setSpan(context.active(), trace.wrapSpanContext({ traceId: '0'.repeat(32), spanId, traceFlags: 0 })),
    );
    expect(currentTraceContext()).toBeNull();
  });
});
