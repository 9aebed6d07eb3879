/**
 * A run that failed behind its pivot and is retried: the calls whose failure its code could not bear are made anew, each as if it had not
 * been made. Which these are: those that failed since the code made its last call, for after that it asked for nothing more but its end;
 * and those with whose failure it ended, although it had made further calls in answer to that (it caught the error, told somebody, and
 * threw it again).
 */
import { childRunId } from '../protocol/child-id.ts';
import { childInput, startChild } from './children.ts';
import { wireCall } from '../definition/call-id.ts';
import { prepareCommand } from '../protocol/commands.ts';
import type { CallReissue } from '../journal/events.ts';
import type { DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import type { CallState, RunState } from '../journal/state.ts';
import { mayHaveHappened } from '../journal/compensation.ts';

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
  const definition = run.step(call.step);
  if (definition === undefined || definition.kind !== call.kind) return null;
  // Whoever has refused it has that on record; whoever may have done it is asked under the same name, and does it no second time.
  const round = mayHaveHappened(call) ? call.round : call.round + 1;
  const name = wireCall({ id: call.id, round });
  const at = run.openRow(context.now);
  switch (definition.kind) {
    case 'step':
    case 'transaction': {
      const { deadlineMs } = definition;
      return { anew: { call: call.id, ...(deadlineMs === Infinity ? {} : { until: at + deadlineMs }) }, send() {} };
    }
    case 'command':
    case 'emit': {
      const { input, version } = call;
      const message = await prepareCommand(run, { call: name, definition, input, version });
      const until = definition.kind === 'command' ? { until: at + definition.timeoutMs } : {};
      return { anew: { call: call.id, round, ...until }, send: () => run.send(message) };
    }
    case 'child': {
      const until = Number.isFinite(definition.timeoutMs) ? { until: at + definition.timeoutMs } : {};
      // It was not done in time, and perhaps is by now.
      if (round === call.round) return { anew: { call: call.id, ...until }, send() {} };
      const input = await childInput(run, definition, call);
      const child = childRunId(run.id, name);
      return {
        anew: { call: call.id, round, child, ...until },
        send: () => startChild(run, definition, { id: child, call: call.id, input, at }),
      };
    }
  }
}
