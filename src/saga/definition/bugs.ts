/**
 * Which errors nobody throws on purpose. A meant failure compensates a run; a bug, which a release may have brought, makes it stuck, so that
 * it goes on when the code is mended. Asked by the forward path of what `run` ends with, and by attempts of what a step fails with.
 */
import { isHoldfastError, type ErrorCode } from '../../errors.ts';
import { defectOf } from '../../runtime/defect.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';

/** A class of errors; its subclasses count as well. */
export type ErrorClass = abstract new (...args: never[]) => Error;

/** Of the two, the class that is nearest to the error's own decides. Rejection and PermanentError are always meant. */
export interface ErrorLists {
  /** Thrown by nobody on purpose: the run is stuck, and goes on when the code is mended. */
  readonly stuck?: readonly ErrorClass[] | undefined;
  /** Meant: the run fails, and is compensated. */
  readonly compensate?: readonly ErrorClass[] | undefined;
}

/** What Node and assertions throw; only these themselves, since who makes a subclass throws it on purpose. */
const BUGS: ReadonlySet<string> = new Set([
  'TypeError',
  'ReferenceError',
  'RangeError',
  'SyntaxError',
  'AssertionError',
]);
const STEP_BUGS: ReadonlySet<string> = new Set([...BUGS].filter((name) => name !== 'SyntaxError'));

/** What Holdfast refuses that no data of the business can bring about, and what cannot be recorded. */
const BUG_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'HF_CONFIG',
  'HF_OPTION_UNKNOWN',
  'HF_DURATION',
  'HF_MESSAGE_TYPE',
  'HF_SAGA_DEFINITION',
  'HF_SIGNAL_UNKNOWN',
  'HF_CALL_REPEATED',
  'HF_NOT_IN_TRANSACTION',
  'HF_TX_UNSUPPORTED',
  'HF_PAYLOAD_NOT_JSON',
  'HF_PAYLOAD_TEXT',
  'HF_PAYLOAD_TOO_LARGE',
]);

/**
 * @param lists of the saga first, then of its worker
 * @param where a step may fail to read what others answered (SyntaxError of JSON.parse); `run` is told nothing that it has to parse
 */
export function isBug(
  error: unknown,
  lists: readonly (ErrorLists | null | undefined)[],
  where: 'run' | 'step',
): boolean {
  try {
    if (isHoldfastError(error, 'HF_REJECTED') || isHoldfastError(error, 'HF_PERMANENT')) return false;
    for (const each of lists) {
      const said = each === null || each === undefined ? undefined : saidOf(error, each);
      if (said !== undefined) return said === 'stuck';
    }
    if (isHoldfastError(error)) return BUG_CODES.has(error.code);
    return defectOf(error, where === 'run' ? BUGS : STEP_BUGS) !== null;
  } catch {
    // Getters and proxies may do anything.
    return false;
  }
}

function saidOf(error: unknown, { stuck = [], compensate = [] }: ErrorLists): 'stuck' | 'compensate' | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  for (let proto: object | null = Object.getPrototypeOf(error) as object | null; proto !== null;) {
    const is = (listed: ErrorClass): boolean => (listed.prototype as unknown) === proto;
    if (compensate.some(is)) return 'compensate';
    if (stuck.some(is)) return 'stuck';
    proto = Object.getPrototypeOf(proto) as object | null;
  }
  return undefined;
}

/** @throws HoldfastError HF_OPTION_UNKNOWN, or `code`, for what is no list of classes, and for a class that is in both */
export function checkErrorLists(
  given: ErrorLists | undefined,
  where: string,
  code: 'HF_SAGA_DEFINITION' | 'HF_CONFIG',
): ErrorLists | null {
  if (given === undefined) return null;
  if (typeof given !== 'object' || given === null)
    throw badOption(
      `${where}.errors`,
      'is no object',
      'Write errors: { stuck: [InvariantError], compensate: [] }.',
      code,
    );
  refuseUnknownOptions(given, ['stuck', 'compensate'], `${where}.errors`);
  for (const name of ['stuck', 'compensate'] as const) {
    const list: unknown = given[name] ?? [];
    if (!Array.isArray(list) || list.some((each) => typeof each !== 'function'))
      throw badOption(
        `${where}.errors`,
        `has a list ${name} that is not one of classes`,
        `Write errors: { ${name}: [InvariantError] }.`,
        code,
      );
  }
  const twice = given.stuck?.find((each) => given.compensate?.includes(each));
  if (twice !== undefined)
    throw badOption(`${where}.errors`, `has ${twice.name} in both lists`, 'Leave it in one of them.', code);
  return given;
}
