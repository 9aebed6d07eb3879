/** All kinds of calls. A new kind adds its line here, and its name to definition/kind-names.ts; nothing else in the house names one. */
import type { CallKind } from '../definition/kind-names.ts';
import type { CallState } from '../journal/state.ts';
import { CHILD } from './child.ts';
import { COMMAND } from './command.ts';
import { EMIT } from './emit.ts';
import type { Kind } from './kind.ts';
import { SLEEP } from './sleep.ts';
import { STEP } from './step.ts';
import { TRANSACTION } from './transaction.ts';
import { WAIT } from './wait.ts';

const KINDS: Readonly<Record<CallKind, Kind>> = {
  step: STEP,
  transaction: TRANSACTION,
  command: COMMAND,
  emit: EMIT,
  child: CHILD,
  sleep: SLEEP,
  wait: WAIT,
};

export function kindOf({ kind }: { readonly kind: CallKind }): Kind {
  return KINDS[kind];
}

/** Whether its attempts are made in this process. */
export function isAttempted(call: { readonly kind: CallKind }): boolean {
  const { endsBy } = kindOf(call);
  return endsBy === 'attempt' || endsBy === 'transaction';
}

/** Whether nobody knows if a lost attempt of it has happened. */
export function canBeInDoubt(call: { readonly kind: CallKind }): boolean {
  return kindOf(call).endsBy === 'attempt';
}

/** Whether somebody else says how it ended. */
export function isAnswered(call: { readonly kind: CallKind }): boolean {
  return kindOf(call).endsBy === 'answer';
}

/** Whether an attempt of a call that has no outcome yet may have happened, before the next one has even begun. */
export function wasBegun(call: CallState): boolean {
  return canBeInDoubt(call) && (call.attempts > 0 || call.doubt);
}
