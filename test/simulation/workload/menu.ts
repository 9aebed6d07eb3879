/**
 * The steps that drawn sagas are made of: each kind of declaration that decides something of its own. What is said here is what the steps
 * are declared with, and what the judges hold their runs against.
 */
import type { AttemptedStepOptions } from '../../../src/saga/definition/steps.ts';

export interface MenuStep {
  readonly kind: 'step' | 'transaction' | 'command';
  readonly pivot: boolean;
  readonly compensates: boolean;
  readonly verifies: boolean;
  readonly fallsBack: boolean;
  /** How often it is tried before it gives up. */
  readonly attempts: number;
  /** As above, of its compensation. */
  readonly backAttempts: number;
  readonly timeout: AttemptedStepOptions['timeout'];
  readonly deadline: AttemptedStepOptions['deadline'];
}

/** Only a refusal ends it. */
const PATIENT = 1_000;

function declared(kind: MenuStep['kind'], attempts: number, given: Partial<MenuStep> = {}): MenuStep {
  return {
    kind,
    attempts,
    pivot: false,
    compensates: given.pivot !== true,
    verifies: false,
    fallsBack: false,
    backAttempts: PATIENT,
    timeout: attempts === PATIENT ? '6s' : '1s',
    deadline: undefined,
    ...given,
  };
}

export const MENU = {
  book: declared('step', PATIENT),
  ask: declared('step', 1, { timeout: '4s', backAttempts: 3 }),
  inquire: declared('step', 2, { timeout: '4s', verifies: true, backAttempts: 3 }),
  decorate: declared('step', 2, { fallsBack: true }),
  hurry: declared('step', PATIENT, { deadline: '2s' }),
  post: declared('transaction', 2, { timeout: '4s', backAttempts: 3 }),
  enter: declared('transaction', 1, { fallsBack: true }),
  pay: declared('command', 2, { timeout: '1500ms' }),
  hold: declared('command', PATIENT, { timeout: '4s' }),
  send: declared('step', PATIENT, { pivot: true }),
  hand: declared('step', 2, { pivot: true, timeout: '4s' }),
  deliver: declared('step', 2, { pivot: true, verifies: true }),
  pledge: declared('step', 2, { pivot: true, compensates: true }),
  close: declared('transaction', 2, { pivot: true, timeout: '4s' }),
  dispatch: declared('command', 2, { pivot: true, timeout: '1500ms' }),
} as const satisfies Readonly<Record<string, MenuStep>>;
export type MenuName = keyof typeof MENU;

/** What a deployment can lose the compensation of. */
const LOSABLE: ReadonlySet<string> = new Set<MenuName>(['book', 'ask', 'post', 'decorate']);

export function canBeLost(step: string): boolean {
  return LOSABLE.has(step);
}

/** Null: the step is none of the menu. */
export function menuStep(name: string): MenuStep | null {
  return Object.hasOwn(MENU, name) ? MENU[name as MenuName] : null;
}

export function isPatient({ attempts, deadline }: MenuStep): boolean {
  return attempts === PATIENT && deadline === undefined;
}
