/**
 * The names of the kinds of calls, as they stand in journals. What each kind does stands in saga/kinds. A name that journals have is never
 * taken away.
 */

/** The kind of a call: of the five that are declared in `steps`, or a wait of the code itself. */
export type CallKind = 'step' | 'transaction' | 'command' | 'emit' | 'child' | 'sleep' | 'wait';

/** The kind of a declared step. */
export type StepKind = Exclude<CallKind, 'sleep' | 'wait'>;

const IS_STEP: Readonly<Record<CallKind, boolean>> = {
  step: true,
  transaction: true,
  command: true,
  emit: true,
  child: true,
  sleep: false,
  wait: false,
};

/** Kinds that are declared in `steps`. */
export const STEP_KINDS = (Object.keys(IS_STEP) as readonly CallKind[]).filter(hasEffect);

/** Whether this version knows the kind: a journal of a newer one may name another. */
export function isCallKind(kind: string): kind is CallKind {
  return Object.hasOwn(IS_STEP, kind);
}

/** Whether calls of the kind do something outside of the run, which may have to be compensated. */
export function hasEffect(kind: CallKind): kind is StepKind {
  return IS_STEP[kind];
}
