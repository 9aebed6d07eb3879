/**
 * OpenTelemetry's SDK as a service registers it, with an exporter that keeps the spans in memory and forgets them: what a trace costs in
 * this process, without a network.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { context, ROOT_CONTEXT, trace, type Context, type ContextManager } from '@opentelemetry/api';
import { BasicTracerProvider, BatchSpanProcessor, InMemorySpanExporter } from '@opentelemetry/sdk-trace-base';

/** Spans that are kept before all are forgotten. */
const KEPT = 10_000;

export interface BenchTracing {
  /** Spans until now. */
  readonly spans: number;
  stop(): Promise<void>;
}

export function startBenchTracing(): BenchTracing {
  const exporter = new ForgetfulExporter();
  // In large batches, as under load; the default queue would drop most of them.
  const processor = new BatchSpanProcessor(exporter, {
    maxQueueSize: 100_000,
    maxExportBatchSize: 2_000,
    scheduledDelayMillis: 100,
  });
  const provider = new BasicTracerProvider({ spanProcessors: [processor] });
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

class AsyncContexts implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();

  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT;
  }

  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    own: Context,
    fn: F,
    self?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(own, () => fn.call(self as ThisParameterType<F>, ...args));
  }

  bind<T>(_context: Context, target: T): T {
    return target;
  }

  enable(): this {
    return this;
  }

  disable(): this {
    return this;
  }
}
