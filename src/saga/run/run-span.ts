/**
 * The spans of a run. A run may last for months, and is no span itself: each stretch of work is one, from when something happens to it until it
 * only waits or has left memory. The first ones belong to the trace that started the run, so that a short run shows as a whole. What comes
 * later, or in another worker, is a trace of its own with a link to that start: no trace is open for days.
 */
import { isTracing, startSpan, type SpanAttributes, type TracedSpan } from '../../runtime/telemetry.ts';
import { NO_TRACE_IDS, type TraceIds } from '../../runtime/trace-ids.ts';
import type { CallState } from '../journal/state.ts';
import { kindOf } from '../kinds/table.ts';
import type { AttemptResult } from './run-events.ts';
import type { Run } from './run.ts';

/** How long after its start a run still belongs to the trace that started it; how much of a wait is shown. Milliseconds. */
const ONE_STORY_MS = 60_000;

/** Something happens to the run. Does nothing while a stretch is under way, or when nobody traces. `now`: by the store's clock. */
export function beginStretch(run: Run, now: () => number): void {
  if (run.span !== null || !isTracing()) return;
  const { trace, startedAt } = run.state;
  const belongs = run.claims <= 1 && now() - startedAt <= ONE_STORY_MS;
  run.span = startSpan('run', {
    of: run.saga.name,
    parent: belongs ? trace : null,
    ...(belongs || trace === null ? {} : { links: [trace], baggage: trace.baggage }),
    attributes: run.lost > 0 ? { ...attributesOf(run), 'holdfast.run.lost': run.lost } : attributesOf(run),
  });
}

/** It only waits from here on, or has left memory. `error`: why it cannot go on here. */
export function endStretch(run: Run, error?: unknown): void {
  const { span } = run;
  if (span === null) return;
  run.span = null;
  run.lastSpan = span;
  span.set({ 'holdfast.run.status': run.status });
  if (error !== undefined) span.fail(error);
  else if (run.state.stuck !== null) span.fail({ name: 'stuck' });
  span.end();
}

export type AttemptSpan = 'step' | 'transaction' | 'compensate' | 'verify' | 'fallback';

/** An attempt that begins now. Null: nobody traces. */
export function startAttemptSpan(name: AttemptSpan, run: Run, call: CallState): TracedSpan | null {
  if (!isTracing()) return null;
  const attempts = name === 'compensate' ? (call.compensation?.attempts ?? 0) : call.attempts;
  return startSpan(name, {
    of: call.step,
    parent: run.span,
    // Spelled out, not copied: it is made for each step.
    attributes: {
      'holdfast.saga': run.saga.name,
      'holdfast.saga.version': run.saga.version,
      'holdfast.run.id': run.id,
      'holdfast.call': call.id,
      'holdfast.attempt': attempts + 1,
    },
  });
}

export function endAttemptSpan(span: TracedSpan, result: AttemptResult): void {
  if (result.kind === 'done') span.set({ 'holdfast.outcome': 'done' });
  else {
    span.set({ 'holdfast.outcome': result.uncounted ?? (result.doubt ? 'in doubt' : 'failed') });
    span.fail({ code: String(result.error.code ?? ''), name: result.error.name });
  }
  span.end();
}

/** What was waited for has come, or is given up: a span that is made afterwards, and shows the last minute of it at most. */
export function noteWait(run: Run, call: CallState, now: number): void {
  const { span } = run;
  const { endsBy } = kindOf(call);
  if (span === null || (endsBy !== 'answer' && endsBy !== 'signal' && endsBy !== 'time')) return;
  const waitedMs = Math.max(0, Math.round(now - call.calledAt));
  const endedAt = Date.now();
  const wait = startSpan('wait', {
    of: call.step,
    parent: span,
    startedAt: endedAt - Math.min(waitedMs, ONE_STORY_MS),
    attributes: {
      ...attributesOf(run),
      'holdfast.call': call.id,
      'holdfast.waited_ms': waitedMs,
      'holdfast.outcome': call.outcome,
    },
  });
  wait?.end(endedAt);
}

/** For lines of the log about the run, which may be written when it has just left memory. */
export function traceIdsOfRun({ span, lastSpan }: Run): TraceIds {
  return (span ?? lastSpan)?.ids ?? NO_TRACE_IDS;
}

function attributesOf({ id, saga }: Run): SpanAttributes {
  return { 'holdfast.saga': saga.name, 'holdfast.saga.version': saga.version, 'holdfast.run.id': id };
}
