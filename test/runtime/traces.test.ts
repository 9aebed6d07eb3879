/** Spans by OpenTelemetry's SDK: none without it, well made with it, and nothing that it does wrong changes anything. */
import {
  context,
  INVALID_SPAN_CONTEXT,
  propagation,
  ROOT_CONTEXT,
  SpanStatusCode,
  trace,
  type Span,
  type Tracer,
} from '@opentelemetry/api';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BasicTracerProvider,
  ParentBasedSampler,
} from '@opentelemetry/sdk-trace-base';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import { baggageText, withBaggage } from '../../src/runtime/baggage.ts';
import { safeLogger } from '../../src/runtime/observers.ts';
import { errorType, isTracing, startSpan, type SpanStart } from '../../src/runtime/telemetry.ts';
import { idOf, linksOf, parentOf, startTracing, traceOf, type Tracing } from '../support/tracing.ts';

const TRACE = { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', tracestate: 'a=b' };
const start = (more: Partial<SpanStart> = {}): SpanStart => ({
  of: 'order',
  parent: null,
  attributes: { 'holdfast.saga': 'order' },
  ...more,
});

describe('without an SDK', () => {
  it('there are no spans, before and after one was registered', async () => {
    expect(isTracing()).toBe(false);
    expect(startSpan('run', start())).toBeNull();
    const tracing = startTracing();
    expect(isTracing()).toBe(true);
    await tracing.stop();
    expect(isTracing()).toBe(false);
    expect(startSpan('run', start())).toBeNull();
  });
});

describe('with an SDK whose sampler says no', () => {
  it('a span is carried on as not sampled, and nothing else is done for it', async () => {
    const provider = new BasicTracerProvider({ sampler: new AlwaysOffSampler() });
    trace.setGlobalTracerProvider(provider);
    try {
      const span = startSpan('run', start({ parent: TRACE }));
      const carried = span?.carried;
      expect(carried?.traceparent).toMatch(/^00-4bf92f3577b34da6a3ce929d0e0e4736-(?!00f067aa0ba902b7)[0-9a-f]{16}-00$/);
      expect(carried?.tracestate).toBe('a=b');
      const inner = trace.getSpan(span?.context ?? ROOT_CONTEXT);
      const asked = ['setAttributes', 'addEvent', 'setStatus'] as const;
      const spies = asked.map((name) => vi.spyOn(inner as Span, name));
      span?.set({ 'holdfast.run.status': 'completed' });
      span?.event('attempt failed', { 'holdfast.attempt': 1 });
      span?.fail(new Error('no'));
      expect(span?.run(() => 7)).toBe(7);
      span?.end();
      for (const spy of spies) expect(spy).not.toHaveBeenCalled();
    } finally {
      trace.disable();
      await provider.shutdown();
    }
  });
});

describe('with an SDK that samples by the parent', () => {
  it.each(['00', '01'])('a span of a trace with the flags %s has the same', async (flags) => {
    const provider = new BasicTracerProvider({ sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }) });
    trace.setGlobalTracerProvider(provider);
    try {
      const parent = { ...TRACE, traceparent: `${TRACE.traceparent.slice(0, -2)}${flags}` };
      expect(startSpan('run', start({ parent }))?.carried?.traceparent.slice(-2)).toBe(flags);
      expect(startSpan('run', start({ parent: null }))?.carried?.traceparent.slice(-2)).toBe('01');
    } finally {
      trace.disable();
      await provider.shutdown();
    }
  });
});

describe('with an SDK that is switched off', () => {
  it('there is no span', () => {
    trace.setGlobalTracerProvider({
      getTracer: () => ({ startSpan: () => trace.wrapSpanContext(INVALID_SPAN_CONTEXT) }) as unknown as Tracer,
    });
    try {
      expect(startSpan('run', start({ parent: TRACE }))).toBeNull();
    } finally {
      trace.disable();
    }
  });
});

describe('with an SDK', () => {
  let tracing: Tracing;
  beforeEach(() => {
    tracing = startTracing();
  });
  afterEach(() => tracing.stop());

  it('a span has its name, kind, attributes, times, parent and links', () => {
    const span = startSpan('run', start({ parent: TRACE, links: [TRACE, null], startedAt: 1_800_000_000_000 }));
    span?.set({ 'holdfast.run.status': 'completed' });
    span?.end(1_800_000_002_500);
    span?.end();
    const made = tracing.one('run order');
    expect(made).toMatchObject({
      kind: 0,
      attributes: { 'holdfast.saga': 'order', 'holdfast.run.status': 'completed' },
      startTime: [1_800_000_000, 0],
      endTime: [1_800_000_002, 500_000_000],
      status: { code: SpanStatusCode.UNSET },
    });
    expect(traceOf(made)).toBe(TRACE.traceparent.slice(3, 35));
    expect(parentOf(made)).toBe('00f067aa0ba902b7');
    expect(linksOf(made)).toEqual(['00f067aa0ba902b7']);
    expect(made.spanContext().traceState?.serialize()).toBe('a=b');
  });

  it.each([
    { traceparent: 'nonsense', tracestate: null },
    { traceparent: '', tracestate: '=' },
  ])('a parent of %j is none', (parent) => {
    startSpan('run', start({ parent, links: [parent] }))?.end();
    expect(parentOf(tracing.one('run order'))).toBeUndefined();
    expect(linksOf(tracing.one('run order'))).toEqual([]);
  });

  it('is active while it runs something, also behind an await, and hands on what that gives or throws', async () => {
    const outer = startSpan('run', start());
    const inner = await outer?.run(async () => {
      await Promise.resolve();
      return startSpan('step', start({ of: 'charge', parent: 'active' }));
    });
    inner?.end();
    outer?.end();
    expect(parentOf(tracing.one('step charge'))).toBe(idOf(tracing.one('run order')));
    expect(outer?.run(() => 7)).toBe(7);
    expect(() => outer?.run(() => JSON.parse('{') as unknown)).toThrow(SyntaxError);
    expect(trace.getActiveSpan()).toBeUndefined();
  });

  it('carries trace and baggage on, and takes them up elsewhere', () => {
    const baggage = propagation.createBaggage({ tenant: { value: 'a b, c' } });
    const span = context.with(propagation.setBaggage(ROOT_CONTEXT, baggage), () =>
      startSpan('start', start({ parent: 'active' })),
    );
    const carried = span?.carried ?? null;
    expect(carried?.baggage).toBe('tenant=a%20b%2C%20c');
    const later = startSpan('run', start({ parent: carried }));
    expect(propagation.getBaggage(later?.context ?? ROOT_CONTEXT)?.getEntry('tenant')?.value).toBe('a b, c');
    later?.end();
    span?.end();
    expect(parentOf(tracing.one('run order'))).toBe(idOf(tracing.one('start order')));
  });

  it('says the kind of an error, and never what it says', () => {
    const span = startSpan('run', start());
    span?.fail(new HoldfastError('HF_REJECTED', 'ann@example.org has no money'));
    span?.end();
    const made = tracing.one('run order');
    expect(made.status).toEqual({ code: SpanStatusCode.ERROR });
    expect(made.attributes['error.type']).toBe('HF_REJECTED');
    expect(JSON.stringify([made.attributes, made.events, made.status])).not.toContain('ann@');
    expect([new TypeError('x'), 'text', null, { code: 23 }].map(errorType)).toEqual([
      'TypeError',
      '_OTHER',
      '_OTHER',
      '_OTHER',
    ]);
  });

  it('lines of the log that are written within it have its ids', () => {
    const lines: object[] = [];
    const line = (fields: object): void => void lines.push(fields);
    const log = safeLogger({ debug: line, info: line, warn: line, error: line, child: (): never => log as never });
    const span = startSpan('run', start());
    span?.run(() => log.info({ run: '1' }, 'within'));
    log.info({ run: '2' }, 'without');
    expect(lines).toEqual([{ run: '1', ...span?.ids }, { run: '2' }]);
    expect(span?.ids).toEqual({
      trace_id: expect.stringMatching(/^\w{32}$/),
      span_id: expect.stringMatching(/^\w{16}$/),
    });
  });
});

describe('a tracer that throws', () => {
  const failing = (): never => {
    throw new Error('the tracer is shut down');
  };
  afterEach(() => {
    trace.disable();
    context.disable();
  });

  it('costs the span, and nothing else', () => {
    trace.setGlobalTracerProvider({ getTracer: failing });
    expect(isTracing()).toBe(false);
    expect(startSpan('run', start())).toBeNull();
    trace.disable();
    trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan: failing, startActiveSpan: failing }) });
    expect(startSpan('run', start())).toBeNull();
  });

  it('is told once that a span has ended', () => {
    const end = vi.fn<(at?: number) => void>();
    const span = { spanContext: () => INVALID_SPAN_CONTEXT, isRecording: () => true, end };
    trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan: () => span }) as unknown as Tracer });
    const made = startSpan('run', start());
    made?.end(7);
    made?.end(8);
    expect(end.mock.calls).toEqual([[7]]);
  });

  it('in any method of a span changes nothing of what is done within it', () => {
    const spanContext = () => ({ traceId: '1'.repeat(32), spanId: '2'.repeat(16), traceFlags: 1 });
    const span = {
      spanContext,
      isRecording: () => true,
      setAttributes: failing,
      setStatus: failing,
      addEvent: failing,
      end: failing,
    };
    trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan: () => span }) as unknown as Tracer });
    const made = startSpan('run', start());
    expect(made).not.toBeNull();
    made?.set({ 'holdfast.saga': 'x' });
    made?.event('attempt failed', {});
    made?.fail(new Error('x'));
    made?.end();
    let calls = 0;
    const manager = {
      active: () => ROOT_CONTEXT,
      bind: <T>(_: unknown, target: T) => target,
      enable: failing,
      disable: () => manager,
    };
    // Before what is to be done, and after it.
    context.setGlobalContextManager({ ...manager, with: failing } as never);
    expect(made?.run(() => (calls += 1))).toBe(1);
    context.disable();
    const after = (_: unknown, fn: () => void): never => (fn(), failing());
    context.setGlobalContextManager({ ...manager, with: after } as never);
    expect(made?.run(() => (calls += 1))).toBe(2);
    expect(calls).toBe(2);
  });
});

describe('baggage as text', () => {
  it('comes back as it was', () => {
    const token = fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,20}$/);
    const name = fc.oneof({ weight: 9, arbitrary: token }, fc.constantFrom('__proto__', 'constructor'));
    fc.assert(
      fc.property(
        fc.dictionary(name, fc.string({ maxLength: 20, unit: 'grapheme', size: 'max' }), { maxKeys: 5 }),
        (entries) => {
          const given = Object.fromEntries(Object.entries(entries).map(([key, value]) => [key, { value }]));
          const text = baggageText(propagation.setBaggage(ROOT_CONTEXT, propagation.createBaggage(given)));
          const read =
            text === null ? [] : (propagation.getBaggage(withBaggage(ROOT_CONTEXT, text))?.getAllEntries() ?? []);
          expect(Object.fromEntries(read.map(([key, { value }]) => [key, value]))).toEqual({ ...entries });
        },
      ),
    );
  });

  it('keeps properties, leaves out what is malformed, and what is too much', () => {
    const read = (text: string): unknown =>
      propagation
        .getBaggage(withBaggage(ROOT_CONTEXT, text))
        ?.getAllEntries()
        .map(([key, { value, metadata }]) => [key, value, metadata?.toString()]);
    expect(read('a=1;p=2;q, b = 2 ,,=3,c,d=%ff,e=5')).toEqual([
      ['a', '1', 'p=2;q'],
      ['b', '2', undefined],
      ['e', '5', undefined],
    ]);
    expect(read('')).toBeUndefined();
    expect(read('x'.repeat(100_000))).toBeUndefined();
    const huge = propagation.createBaggage({ a: { value: 'x'.repeat(5_000) }, b: { value: 'y' }, ä: { value: 'z' } });
    expect(baggageText(propagation.setBaggage(ROOT_CONTEXT, huge))).toBe('b=y');
    expect(baggageText(ROOT_CONTEXT)).toBeNull();
    const lone = propagation.createBaggage({ a: { value: '\ud800' }, b: { value: 'y' } });
    expect(baggageText(propagation.setBaggage(ROOT_CONTEXT, lone))).toBe('b=y');
  });
});
