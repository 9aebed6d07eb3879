/**
 * What must be left of a drawn run when all is over. Told by its plan, by what the code says that it was told, and by what is left outside;
 * the journal is not asked.
 */
import type { MemoryRun } from '../../../src/testing/saga/memory-saga-store.ts';
import type { Told } from '../workload/drawn.ts';
import { callName, callsOf, type DrawnCall, type DrawnPlan, type Stages } from '../workload/shape.ts';
import { short } from './short.ts';

/** What is left outside, and what of that because a person has left it as it is: by run and call. */
interface Left {
  readonly balance: ReadonlyMap<string, number>;
  readonly leftOut: ReadonlySet<string>;
}

interface EndOfDrawn extends Left {
  readonly run: MemoryRun;
  readonly stages: Stages;
  readonly amount: number;
  /** Its children, by the id of the call. */
  readonly children: ReadonlyMap<string, MemoryRun>;
}

/** All drawn runs among these, and their children. */
export function endsOfDrawn(
  { runs, balance, leftOut }: Left & { readonly runs: readonly MemoryRun[] },
  plans: ReadonlyMap<string, DrawnPlan>,
): readonly string[] {
  return runs.flatMap((run) => {
    const plan = plans.get(run.parent?.id ?? run.id);
    if (plan === undefined) return [];
    const stages = run.parent === null ? plan.stages : (plan.parts[idOf(run.parent.call)] ?? []);
    const children = new Map(
      runs.flatMap((each) => (each.parent?.id === run.id ? [[idOf(each.parent.call), each] as const] : [])),
    );
    const wrong = leftOf({ run, stages, amount: plan.amount, balance, leftOut, children });
    return wrong.map((each) => `${each} of ${short(run.id)}, which is ${run.status}`);
  });
}

function idOf(call: string): string {
  return call.slice(call.indexOf(':') + 1);
}

function leftOf(end: EndOfDrawn): string[] {
  const told = (end.run.result ?? {}) as Told;
  return callsOf(end.stages).flatMap((call) => wrongWith(call, told[call.id], end) ?? []);
}

/** `told`: what the code was told of it; undefined: it was compensated, or was never told. */
function wrongWith(call: DrawnCall, told: Told[string] | undefined, end: EndOfDrawn): string | null {
  const { run, amount, balance, leftOut, children } = end;
  const name = callName(call);
  const isKept = run.status === 'completed' && told === 'done';
  const isEither = run.status === 'completed' && told === 'left alone';
  if (run.status === 'completed' && told === undefined) return `I10: nothing is said of ${name}`;
  if (call.step === 'part') {
    const child = children.get(call.id);
    const status = isKept ? 'completed' : 'compensated';
    return child === undefined || child.status === status || isEither || leftOut.has(run.id + name)
      ? null
      : `I7: the child ${name} is ${child.status}`;
  }
  const left = balance.get(run.id + name) ?? 0;
  if (left === (isKept ? amount : 0) || (isEither && left === amount) || leftOut.has(run.id + name)) return null;
  return `I9: ${left} instead of ${isKept ? amount : 0} are left of ${name}`;
}
