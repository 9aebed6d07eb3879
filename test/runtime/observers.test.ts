/** What observes decides nothing: whatever loggers, metrics, hooks and tracers do, their calls return, and it is said once. */
import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { safeHook, safeLogger, safeMetrics } from '../../src/runtime/observers.ts';
import { currentTraceContext } from '../../src/runtime/telemetry.ts';
import type { Logger } from '../../src/runtime/log.ts';
import type { Metrics } from '../../src/runtime/metrics.ts';
import { failingLogger, failingMetrics, rememberingLogger } from '../support/failing-observers.ts';
import { registerContext } from '../support/active-context.ts';

const warnings: string[] = [];
const listen = (warning: Error): void => void (warning.name === 'HoldfastWarning' && warnings.push(warning.message));
beforeEach(() => {
  warnings.length = 0;
  process.on('warning', listen);
});
afterEach(() => {
  process.off('warning', listen);
});
/** Warnings are emitted, and rejections noticed, in later turns. */
const turns = async (): Promise<void> => {
  for (let n = 0; n < 3; n += 1) await new Promise((resolve) => setImmediate(resolve));
};

describe('a logger', () => {
  it.each(['throws', 'rejects'] as const)('that %s is said once, and its lines are lost', async (how) => {
    const log = safeLogger(failingLogger(how));
    log.info({}, 'one');
    const child = log.child({ part: 'worker' });
    child.error({ err: new Error('x') }, 'two');
    child.child({ run: 1 }).debug({}, 'three');
    await turns();
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('the disk of the log is full');
  });

  it('keeps its own this, its children and its fields', () => {
    const remembering = rememberingLogger();
    class Own {
      readonly inner: Logger = remembering;
      debug(fields: object, message: string): void {
        this.inner.debug(fields, message);
      }
      info(fields: object, message: string): void {
        this.inner.info(fields, message);
      }
      warn(fields: object, message: string): void {
        this.inner.warn(fields, message);
      }
      error(fields: object, message: string): void {
        this.inner.error(fields, message);
      }
      child(fields: object): Logger {
        return this.inner.child(fields);
      }
    }
    safeLogger(new Own()).child({ part: 'worker' }).warn({ run: 1 }, 'said');
    expect(remembering.lines).toEqual([{ level: 'warn', fields: { part: 'worker', run: 1 }, message: 'said' }]);
  });

  it('without children, as console is, has its fields added to its lines', () => {
    const remembering = rememberingLogger();
    const log = safeLogger({ ...remembering, child: undefined } as unknown as Logger);
    log.child({ part: 'worker' }).child({ run: 1 }).info({ n: 2 }, 'said');
    expect(remembering.lines).toEqual([{ level: 'info', fields: { part: 'worker', run: 1, n: 2 }, message: 'said' }]);
  });

  it('is wrapped once, however many parts it is handed through', () => {
    const log = safeLogger(rememberingLogger());
    expect(safeLogger(log)).toBe(log);
    expect(safeLogger(log.child({}))).not.toBe(log);
  });
});

describe('metrics', () => {
  it('that throw are said once each, in the log', () => {
    const log = rememberingLogger();
    const failing = failingMetrics();
    const metrics = safeMetrics(failing, log);
    const counter = metrics.counter('holdfast_a_total', 'A.', ['topic']);
    const gauge = metrics.gauge('holdfast_b', 'B.');
    for (let n = 0; n < 3; n += 1) counter.inc({ topic: 'a' });
    gauge.set({}, 1);
    gauge.remove({});
    metrics.histogram('holdfast_c_seconds', 'C.', [], [1]).observe({}, 1);
    expect(failing.seen.times).toBe(6);
    expect(log.lines.map(({ fields }) => fields['metric'])).toEqual([
      'holdfast_a_total',
      'holdfast_b',
      'holdfast_c_seconds',
    ]);
  });

  it('that cannot be made count nothing', () => {
    const log = rememberingLogger();
    const refuse = (): never => {
      throw new Error('A metric with that name has already been registered');
    };
    const metrics = safeMetrics({ counter: refuse, gauge: refuse, histogram: refuse }, log);
    metrics.counter('holdfast_a_total', 'A.').inc({});
    metrics.histogram('holdfast_c_seconds', 'C.', [], [1]).observe({}, 1);
    expect(log.lines).toHaveLength(2);
  });

  it('that make nothing, and a log that fails as well, are harmless', async () => {
    const metrics = safeMetrics(
      { counter: () => undefined } as unknown as Metrics,
      safeLogger(failingLogger('throws')),
    );
    metrics.counter('holdfast_a_total', 'A.').inc({});
    metrics.gauge('holdfast_b', 'B.').set({}, 1);
    await turns();
    expect(warnings).toHaveLength(1);
  });
});

it('a hook that throws, or rejects, is said once', async () => {
  const hook = safeHook((how: string) => {
    if (how === 'throws') throw new Error('hook');
    return Promise.reject(new Error('hook'));
  }, 'onError');
  hook('throws');
  hook('rejects');
  await turns();
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/^onError given to Holdfast/);
});

it('a tracer that throws costs the trace and not the message', async () => {
  registerContext(
    trace.setSpan(ROOT_CONTEXT, {
      spanContext() {
        throw new Error('the tracer is shut down');
      },
    } as never),
  );
  try {
    expect(currentTraceContext()).toBeNull();
    expect(currentTraceContext()).toBeNull();
    await turns();
    expect(warnings).toEqual([expect.stringContaining('the tracer is shut down')]);
  } finally {
    context.disable();
  }
});
