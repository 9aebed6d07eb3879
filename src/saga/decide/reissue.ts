/**
 * A run that failed behind its pivot and is retried: the calls whose failure ended it are made anew, as if they had not been made. These are
 * the calls that failed since the code made its last call, and the calls whose errors the code ended with, even if it had made further calls
 * after the error (it caught the error, told somebody, and threw it again).
 */
import { wireCall } from '../definition/call-id.ts';
import type { CallReissue } from '../journal/events.ts';
import type { DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { mayHaveHappened, type CallState, type RunState } from '../journal/state.ts';
import { kindOf } from '../kinds/table.ts';

/** A call that is made anew: what is recorded of it, and what leaves with that. */
export interface ReissuedCall {
  readonly anew: CallReissue;
  readonly send: () => void;
}

/** Records nothing. What can still not be made is left out: the code is told once more that it failed. */
export async function reissueCalls(run: Run, context: DecisionContext): Promise<readonly ReissuedCall[]> {
  if (run.state.stuck?.why !== 'forward' || run.state.phase !== 'forward') return [];
  const made: ReissuedCall[] = [];
  for (const call of failed(run.state)) {
    const each = await make(run, call, context).catch(() => null);
    if (each !== null) made.push(each);
  }
  return made;
}

/** Pure. */
function failed({ stuck, failedSince, calls, open }: RunState): readonly CallState[] {
  const named = (ids: readonly string[]): CallState[] =>
    ids.flatMap((id) => {
      const call = calls.get(id);
      return call === undefined || call.compensation !== null ? [] : [call];
    });
  // What it called in answer is left as it is, and may be called once more. Not while that is open: two of one name would be under way.
  const ended = named(stuck?.of ?? []).filter(
    ({ id, outcome, failedPlace }) =>
      outcome !== 'open' && !failedSince.includes(id) && !open.some(({ place }) => place > failedPlace),
  );
  const first = Math.min(...ended.map(({ failedPlace }) => failedPlace));
  return [...ended, ...named(failedSince).filter(({ place }) => place < first)];
}

async function make(run: Run, call: CallState, context: DecisionContext): Promise<ReissuedCall | null> {
  const kind = kindOf(call);
  const definition = run.step(call.step);
  if (definition?.kind !== call.kind) return null;
  const { id, input, version } = call;
  const at = run.openRow(context.now);
  const untilAt = kind.until(definition, at, null);
  const until = untilAt === null ? {} : { until: untilAt };
  // Whoever has refused it has that on record; whoever may have done it is asked under the same name, and does it no second time.
  const round = mayHaveHappened(call) ? call.round : call.round + 1;
  // What leaves nothing is begun again here; a child that was not done in time is perhaps by now.
  if (kind.prepare === undefined || (kind.childId !== undefined && round === call.round))
    return { anew: { call: id, ...until }, send() {} };
  const name = wireCall({ id, round });
  const ready = await kind.prepare(run, definition, { id, name, input, version });
  const child = kind.childId?.(run.id, name);
  return {
    anew: { call: id, round, ...(child === undefined ? {} : { child }), ...until },
    send: () => kind.leave?.(run, definition, { call: id, child: child ?? null, ready, at }),
  };
}
