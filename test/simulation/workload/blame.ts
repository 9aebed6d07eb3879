/** What, by its plan, a run may fail of or be stuck at: everything else is for nobody but the infrastructure to answer for. */
import type { StuckWhy } from '../../../src/saga/journal/events.ts';
import type { PlannedRun } from './clients.ts';
import { isPatient, menuStep } from './menu.ts';
import { callName, callsOf, type DrawnCall, type DrawnPlan, type Stages } from './shape.ts';

/** Whether its plan has anything that may bring it down. */
export function mayFail({ plan, drawn, cancelAtMs, cancelOn, deadlineMs }: PlannedRun): boolean {
  if (cancelAtMs !== null || cancelOn !== null || deadlineMs !== null) return true;
  if (drawn !== null) return allCalls(drawn).some(callMayFail);
  return [plan.first, plan.second, plan.third].includes('rejected');
}

/** Patient steps fail of nothing but refusals. */
function callMayFail({ step, weather }: DrawnCall): boolean {
  const declared = menuStep(step);
  if (declared === null) return false;
  if (!isPatient(declared)) return true;
  return weather === 'rejected' || weather === 'unheard, then refused' || weather === 'refused when the time is up';
}

/** Whether this is a reason for the run to need a person. */
export function mayBeStuck({ plan, drawn }: PlannedRun, why: StuckWhy, call: string | undefined): boolean {
  if (drawn === null) return why === 'code' && plan.bug;
  const named = allCalls(drawn).filter((each) => call === undefined || callName(each) === call);
  switch (why) {
    case 'code':
      return named.some(({ weather }) => weather === 'broken');
    case 'compensation':
      return named.some(({ step, id }) =>
        step === 'part' ? hasPivot(drawn.parts[id] ?? []) : (menuStep(step)?.backAttempts ?? 0) < 1_000,
      );
    // Whether it was one, and has happened, is judged by its attempts.
    case 'in doubt':
    case 'forward':
      return allCalls(drawn).some(({ step }) => menuStep(step)?.pivot === true);
    default:
      return false;
  }
}

function hasPivot(stages: Stages): boolean {
  return callsOf(stages).some(({ step }) => menuStep(step)?.pivot === true);
}

/** Those of its children as well. */
function allCalls({ stages, parts }: DrawnPlan): readonly DrawnCall[] {
  return [stages, ...Object.values(parts)].flatMap(callsOf);
}
