/**
 * OpenTelemetry's SDK as a service registers it, with an exporter that keeps the spans in memory and forgets them: what a trace costs in
 * this process, without a network.
 */
import { context, trace } from '@opentelemetry/api';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BasicTracerProvider,
  BatchSpanProcessor,
  InMemorySpanExporter,
} from '@opentelemetry/sdk-trace-base';
import { AsyncContexts } from '../../src/testing/async-contexts.ts';

/** Spans that are kept before all are forgotten. */
const KEPT = 10_000;

export interface BenchTracing {
  /** Spans until now. */
  readonly spans: number;
  stop(): Promise<void>;
}

export function startBenchTracing({ sampled = true } = {}): BenchTracing {
  const exporter = new ForgetfulExporter();
  // In large batches, as under load; the default queue would drop most of them.
  const processor = new BatchSpanProcessor(exporter, {
    maxQueueSize: 100_000,
    maxExportBatchSize: 2_000,
    scheduledDelayMillis: 100,
  });
  const provider = new BasicTracerProvider({
    spanProcessors: [processor],
    sampler: sampled ? new AlwaysOnSampler() : new AlwaysOffSampler(),
  });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncContexts());
  return {
    get spans() {
      return exporter.spans;
    },
    async stop() {
      await provider.forceFlush();
      trace.disable();
      context.disable();
      await provider.shutdown();
    },
  };
}

class ForgetfulExporter extends InMemorySpanExporter {
  spans = 0;

  override export(...[spans, done]: Parameters<InMemorySpanExporter['export']>): void {
    this.spans += spans.length;
    if (this.getFinishedSpans().length > KEPT) this.reset();
    super.export(spans, done);
  }
}
