/**
 * OpenTelemetry's own SDK with an exporter in memory, as a service registers it: what it is given is looked at as a viewer would.
 */
import { context, trace } from '@opentelemetry/api';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-base';
import { AsyncContexts } from '../../src/testing/async-contexts.ts';

export interface Tracing {
  /** All that have ended, in the order of their ends. */
  spans(): readonly ReadableSpan[];
  named(name: string): readonly ReadableSpan[];
  /** The only one of that name. */
  one(name: string): ReadableSpan;
  /** Nobody traces any more. */
  stop(): Promise<void>;
  clear(): void;
}

/** Registers for this process; there can be one at a time. */
export function startTracing(): Tracing {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncContexts());
  const named = (name: string): readonly ReadableSpan[] =>
    exporter.getFinishedSpans().filter((span) => span.name === name);
  return {
    spans: () => exporter.getFinishedSpans(),
    named,
    one(name) {
      const [span, ...others] = named(name);
      const all = exporter.getFinishedSpans().map((each) => each.name);
      if (span === undefined || others.length > 0)
        throw new Error(`There are ${named(name).length} spans '${name}' among: ${all.join(', ')}`);
      return span;
    },
    async stop() {
      trace.disable();
      context.disable();
      await provider.shutdown();
    },
    clear: () => exporter.reset(),
  };
}

/** The span that it is part of. */
export function parentOf(span: ReadableSpan): string | undefined {
  return span.parentSpanContext?.spanId;
}

export function idOf(span: ReadableSpan): string {
  return span.spanContext().spanId;
}

export function traceOf(span: ReadableSpan): string {
  return span.spanContext().traceId;
}

/** The spans that it refers to. */
export function linksOf(span: ReadableSpan): readonly string[] {
  return span.links.map((link) => link.context.spanId);
}
