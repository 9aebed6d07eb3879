/** The span of a start: what the run does, now or in months, refers to it. */
import { startSpan, type TracedSpan } from '../../runtime/telemetry.ts';
import type { AnySaga } from '../definition/definition.ts';
import type { StartRequest } from '../store/store.ts';

/** Part of what runs just now. */
export function startOfRun({ name, version }: AnySaga): TracedSpan | null {
  return startSpan('start', {
    of: name,
    parent: 'active',
    attributes: { 'holdfast.saga': name, 'holdfast.saga.version': version },
  });
}

/** The request with the trace that the run is to go on. */
export function tracedRequest(request: StartRequest, span: TracedSpan | null): StartRequest {
  if (span === null) return request;
  span.set({ 'holdfast.run.id': request.id });
  const { carried } = span;
  return carried === null ? request : { ...request, trace: carried };
}
