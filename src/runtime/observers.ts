/**
 * What only watches decides nothing. Loggers, metrics, tracers and hooks are the user's code, called in the middle of ours: whatever
 * they throw, or reject with later, is said once and changes no outcome. Everything that takes one of them wraps it here first; a
 * house test sees to that.
 *
 * A failure of a metric, a tracer or a hook is said in the log. A logger's own has no log to be said in: it is a warning of the process.
 */
import { boundedLabels } from './bounded-labels.ts';
import { silentLogger, type Logger } from './log.ts';
import { noopMetrics, type Counter, type Gauge, type Histogram, type Labels, type Metrics } from './metrics.ts';
import { activeTraceIds } from './trace-ids.ts';

/** Wrapped already: parts hand what they were given on to their own parts. */
const safe = new WeakSet<object>();

/** The logger, or silence when there is none. Whatever it does, its calls return. */
export function safeLogger(given: Logger | undefined): Logger {
  if (given === undefined || given === null) return silentLogger;
  return safe.has(given) || given === silentLogger ? given : guardLogger(given, {}, warnOnce('The logger'));
}

/** @param fields what a child of a logger that cannot make children adds to every line */
function guardLogger(inner: Logger, fields: object, report: TellError): Logger {
  const line =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (own: object, message: string): void =>
      watched(() => inner[level]({ ...activeTraceIds(), ...fields, ...own }, message), report);
  const logger: Logger = {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    child: (more) => {
      const child = typeof inner.child === 'function' ? outcomeOf(() => inner.child(more), report) : null;
      return isLogger(child) ? guardLogger(child, fields, report) : guardLogger(inner, { ...fields, ...more }, report);
    },
  };
  safe.add(logger);
  return logger;
}

function isLogger(value: unknown): value is Logger {
  if (typeof value !== 'object' || value === null) return false;
  return (['debug', 'info', 'warn', 'error'] as const).every(
    (level) => typeof (value as Partial<Logger>)[level] === 'function',
  );
}

/** The metrics, or none. A metric that fails, when it is made or when it counts, is said once in `log`, and counts no more than it can. */
export function safeMetrics(given: Metrics | undefined, log: Logger): Metrics {
  if (given === undefined || given === null) return noopMetrics;
  if (safe.has(given) || given === noopMetrics) return given;
  const reporterOf = (metric: string): TellError =>
    once((error) => log.error({ err: error, metric }, 'a metric fails: what it counts is not complete'));
  const metrics: Metrics = {
    counter<Name extends string>(name: string, help: string, labels?: readonly Name[]): Counter<Name> {
      const report = reporterOf(name);
      const counter = outcomeOf(() => given.counter(name, help, labels), report);
      const bounded = boundedLabels<Name>();
      return { inc: (values: Labels<Name>, by?: number) => watched(() => counter?.inc(bounded(values), by), report) };
    },
    gauge<Name extends string>(name: string, help: string, labels?: readonly Name[]): Gauge<Name> {
      const report = reporterOf(name);
      const gauge = outcomeOf(() => given.gauge(name, help, labels), report);
      return {
        set: (values, value) => watched(() => gauge?.set(values, value), report),
        remove: (values) => watched(() => gauge?.remove(values), report),
      };
    },
    histogram<Name extends string>(
      name: string,
      help: string,
      labels: readonly Name[],
      buckets: readonly number[],
    ): Histogram<Name> {
      const report = reporterOf(name);
      const histogram = outcomeOf(() => given.histogram(name, help, labels, buckets), report);
      const bounded = boundedLabels<Name>();
      return { observe: (values, value) => watched(() => histogram?.observe(bounded(values), value), report) };
    },
  };
  safe.add(metrics);
  return metrics;
}

/** A hook that is told of something. `name` is said when it fails, where there is no log as a warning of the process. */
export function safeHook<Args extends readonly unknown[]>(
  hook: ((...args: Args) => unknown) | undefined,
  name: string,
): (...args: Args) => void {
  if (typeof hook !== 'function') return () => {};
  const report = warnOnce(name);
  return (...args) => watched(() => hook(...args), report);
}

/** What `ask` answers, or undefined when it fails; said once for each `report`. For tracers, and whatever else is asked and not told. */
export function outcomeOf<T>(ask: () => T, report: TellError): T | undefined {
  try {
    return ask();
  } catch (error) {
    report(error);
    return undefined;
  }
}

export type TellError = (error: unknown) => void;

/** Says the first failure as a warning of the process (it goes to stderr): for what cannot be said in a log. */
export function warnOnce(name: string): TellError {
  return once((error) => {
    process.emitWarning(`${name} given to Holdfast fails, which is taken no notice of from now on: ${textOf(error)}`, {
      type: 'HoldfastWarning',
    });
  });
}

function watched(tell: () => unknown, report: TellError): void {
  try {
    const answer = tell();
    if (isThenable(answer)) answer.then(undefined, report);
  } catch (error) {
    report(error);
  }
}

function once(say: TellError): TellError {
  let said = false;
  return (error) => {
    if (said) return;
    said = true;
    try {
      say(error);
    } catch {
      // There is nobody left to tell.
    }
  };
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

function textOf(error: unknown): string {
  try {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  } catch {
    return 'something that cannot be shown';
  }
}
