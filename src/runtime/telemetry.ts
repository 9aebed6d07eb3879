/**
 * Traces, by OpenTelemetry's API. Who registers an SDK gets the spans of spans.ts; for all others `startSpan` is a look at a global variable
 * that finds nothing, and no message pays more than that.
 *
 * A tracer is the user's code: whatever it throws is said once, costs the trace, and changes nothing else (observers.ts).
 */
import {
  context,
  createTraceState,
  isSpanContextValid,
  ROOT_CONTEXT,
  SpanStatusCode,
  trace,
  type Context,
  type Link,
  type Span,
  type SpanContext,
  type SpanOptions,
  type Tracer,
  type TracerProvider,
} from '@opentelemetry/api';
import { baggageText, withBaggage } from './baggage.ts';
import { outcomeOf, warnOnce } from './observers.ts';
import { SPANS, type SPAN_EVENTS, type SpanAttribute, type SpanName } from './spans.ts';
import { NO_TRACE_IDS, traceIdsOf, type TraceIds } from './trace-ids.ts';

/** W3C Trace Context, as it travels in an envelope. */
export interface TraceContext {
  readonly traceparent: string;
  readonly tracestate: string | null;
}

/** What is carried from a span to those that go on elsewhere: the trace, and the baggage as W3C text. */
export interface CarriedTrace extends TraceContext {
  readonly baggage?: string | undefined;
}

export type SpanAttributes = { readonly [Name in SpanAttribute]?: string | number | boolean };

export interface SpanStart {
  /** What stands in the braces of its name. */
  readonly of: string;
  readonly attributes: SpanAttributes;
  /** What it is part of: a span of this process, or one of another. 'active': what runs just now. Null: it is the first of its trace. */
  readonly parent: TracedSpan | CarriedTrace | 'active' | null;
  /** What has led to it. */
  readonly links?: readonly (TraceContext | null)[] | undefined;
  /** What is carried on without a parent. */
  readonly baggage?: string | undefined;
  /** Milliseconds since the epoch, when it has begun before. */
  readonly startedAt?: number | undefined;
}

const report = warnOnce('The tracer (of spans)');
const reportActive = warnOnce('The tracer');

/** Null when nobody traces. Who calls it for each message asks isTracing before, so that what it is given is not even made. */
export function startSpan(name: SpanName, start: SpanStart): TracedSpan | null {
  try {
    const tracer = findTracer();
    return tracer === null ? null : makeSpan(tracer, name, start);
  } catch (error) {
    report(error);
    return null;
  }
}

/** Whether spans are made at all. Allocates nothing. */
export function isTracing(): boolean {
  try {
    return findTracer() !== null;
  } catch (error) {
    report(error);
    return false;
  }
}

/** What stands for the SDK, in the API's own provider, and the tracer that it gave. */
let known: { readonly delegate: TracerProvider; readonly tracer: Tracer | null } | null = null;

/** What an SDK has registered, through the proxy that stands for it; null: none has. Asked for anew whenever another one is registered. */
function findTracer(): Tracer | null {
  const provider = trace.getTracerProvider() as TracerProvider & {
    getDelegate?: () => TracerProvider;
    getDelegateTracer?: (name: string) => Tracer | undefined;
  };
  if (provider.getDelegateTracer === undefined) return trace.getTracer('holdfast');
  const delegate = provider.getDelegate?.();
  if (delegate !== undefined && known !== null && known.delegate === delegate) return known.tracer;
  const tracer = provider.getDelegateTracer('holdfast') ?? null;
  if (delegate !== undefined) known = { delegate, tracer };
  return tracer;
}

/** Null where the span leads nowhere: what an SDK gives that is switched off. */
function makeSpan(tracer: Tracer, name: SpanName, start: SpanStart): TracedSpan | null {
  const { baggage, links, startedAt } = start;
  const parent = baggage === undefined ? contextOf(start.parent) : withBaggage(contextOf(start.parent), baggage);
  const options: SpanOptions = { kind: SPANS[name].kind, attributes: start.attributes };
  if (links !== undefined) options.links = linksTo(links);
  if (startedAt !== undefined) options.startTime = startedAt;
  const span = tracer.startSpan(`${name} ${start.of}`, options, parent);
  const isRecording = span.isRecording();
  return isRecording || isSpanContextValid(span.spanContext()) ? new TracedSpan(span, parent, isRecording) : null;
}

/** A span under way. None of its methods throws. One that is not recorded, by whoever samples, is carried on, and costs nothing else. */
export class TracedSpan {
  readonly #span: Span;
  readonly #parent: Context;
  readonly #isRecording: boolean;
  /** Made when it is asked for: most spans have no parts. */
  #own: Context | null = null;
  #over = false;

  constructor(span: Span, parent: Context, isRecording: boolean) {
    this.#span = span;
    this.#parent = parent;
    this.#isRecording = isRecording;
  }

  /** For what is part of it. */
  get context(): Context {
    this.#own ??= trace.setSpan(this.#parent, this.#span);
    return this.#own;
  }

  /** For what goes on elsewhere; null: the tracer cannot say. */
  get carried(): CarriedTrace | null {
    return outcomeOf(() => carriedBy(this.#span.spanContext(), this.#parent), report) ?? null;
  }

  /** By which lines of the log are found. */
  get ids(): TraceIds {
    return outcomeOf(() => traceIdsOf(this.#span.spanContext()), report) ?? NO_TRACE_IDS;
  }

  /** Calls `fn` with this as the active span. What `fn` throws is thrown. */
  run<T>(fn: () => T): T {
    let outcome: { readonly value: T } | { readonly error: unknown } | null = null;
    const once = (): void => {
      try {
        outcome = { value: fn() };
      } catch (error) {
        outcome = { error };
      }
    };
    outcomeOf(() => context.with(this.context, once), report);
    // It was not called: what is to be done is done without.
    if (outcome === null) return fn();
    const ended = outcome as { readonly value: T } | { readonly error: unknown };
    if ('error' in ended) throw ended.error;
    return ended.value;
  }

  set(attributes: SpanAttributes): void {
    if (!this.#isRecording) return;
    try {
      this.#span.setAttributes(attributes);
    } catch (error) {
      report(error);
    }
  }

  event(name: keyof typeof SPAN_EVENTS, attributes: SpanAttributes): void {
    if (this.#isRecording) outcomeOf(() => this.#span.addEvent(name, attributes), report);
  }

  /** What it was about has failed. */
  fail(error: unknown): void {
    if (!this.#isRecording) return;
    outcomeOf(() => {
      this.#span.setAttributes({ 'error.type': errorType(error) } satisfies SpanAttributes);
      this.#span.setStatus({ code: SpanStatusCode.ERROR });
    }, report);
  }

  /** Counts once. `at`: milliseconds since the epoch. */
  end(at?: number): void {
    if (this.#over) return;
    this.#over = true;
    try {
      this.#span.end(at);
    } catch (error) {
      report(error);
    }
  }
}

/** The code where there is one, else the name: both are known words, and few. */
export function errorType(error: unknown): string {
  const { code, name } = (typeof error === 'object' && error !== null ? error : {}) as {
    readonly code?: unknown;
    readonly name?: unknown;
  };
  if (typeof code === 'string' && code !== '') return code.slice(0, 100);
  return typeof name === 'string' && name !== '' ? name.slice(0, 100) : '_OTHER';
}

/**
 * The active span as W3C Trace Context, or null when there is none.
 * Written out here rather than injected by the registered propagator, because the envelope is W3C whatever
 * propagator (B3, Jaeger) the process uses for HTTP. https://www.w3.org/TR/trace-context/#traceparent-header
 */
export function currentTraceContext(): TraceContext | null {
  // A registered SDK is the user's: a message is sent whatever becomes of its trace.
  return outcomeOf(activeTrace, reportActive) ?? null;
}

function activeTrace(): TraceContext | null {
  return textOf(trace.getActiveSpan()?.spanContext());
}

function textOf(span: SpanContext | undefined): TraceContext | null {
  if (span === undefined || !isSpanContextValid(span)) return null;
  const flags = (span.traceFlags & 0xff).toString(16).padStart(2, '0');
  const state = span.traceState?.serialize() ?? '';
  return { traceparent: `00-${span.traceId}-${span.spanId}-${flags}`, tracestate: state === '' ? null : state };
}

/** `parent`: whose baggage goes on. */
function carriedBy(span: SpanContext, parent: Context): CarriedTrace | null {
  const text = textOf(span);
  if (text === null) return null;
  const baggage = baggageText(parent);
  return baggage === null ? text : { ...text, baggage };
}

function contextOf(parent: SpanStart['parent']): Context {
  if (parent === null) return ROOT_CONTEXT;
  if (parent === 'active') return context.active();
  if (parent instanceof TracedSpan) return parent.context;
  const span = spanContextOf(parent);
  const own = span === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, span);
  return parent.baggage === undefined ? own : withBaggage(own, parent.baggage);
}

function linksTo(given: readonly (TraceContext | null)[]): Link[] {
  const links: Link[] = [];
  for (const to of given) {
    const span = to === null ? null : spanContextOf(to);
    if (span !== null) links.push({ context: span });
  }
  return links;
}

/** `00-<32 hex>-<16 hex>-<2 hex>`; null for what is none. */
function spanContextOf({ traceparent, tracestate }: TraceContext): SpanContext | null {
  if (traceparent[2] !== '-' || traceparent[35] !== '-' || traceparent[52] !== '-') return null;
  const span = {
    traceId: traceparent.slice(3, 35),
    spanId: traceparent.slice(36, 52),
    traceFlags: Number.parseInt(traceparent.slice(53, 55), 16) & 0xff,
    isRemote: true,
  };
  if (!isSpanContextValid(span)) return null;
  return tracestate === null || tracestate === '' ? span : { ...span, traceState: createTraceState(tracestate) };
}
