/**
 * What can be known to be wrong with a step before any run. Each refusal says what to write instead. What needs the whole saga is
 * checked in saga-checks.ts.
 */
import type { HoldfastError } from '../../errors.ts';
import type { MessageType } from '../../message/message-type.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { badOption } from '../../runtime/options.ts';

/** Longest attempt within a process: what a timer of Node can count. Longer ones would fire at once. */
const MAX_ATTEMPT_MS = 2_147_483_647;

/** The error for a saga, a step or a handler that is declared as nobody can mean it. */
export function badDefinition(where: string, what: string, advice: string): HoldfastError {
  return badOption(where, what, advice, 'HF_SAGA_DEFINITION');
}

/** An options object, and not, for example, the function that should stand in it. */
export function needsOptions(options: unknown, where: string, example: string): void {
  if (typeof options === 'function') throw badDefinition(where, 'is given a function', `Write ${example}.`);
  if (typeof options !== 'object' || options === null)
    throw badDefinition(where, 'is given no options', `Write ${example}.`);
}

export function needsFunction(value: unknown, where: string, name: string): void {
  if (value === undefined)
    throw badDefinition(where, `has no ${name}`, `Write ${where}({ ${name}: async (input) => … }).`);
  if (typeof value !== 'function')
    throw badDefinition(where, `has a ${name} that is no function`, `Write ${where}({ ${name}: async (input) => … }).`);
}

/**
 * What compensates a step, checks it or stands in for it is given or left out. Given as undefined it is mostly a function that was meant to be
 * there: a wrong import, a cycle of modules, and the step would be one that cannot be compensated.
 */
export function refuseUndefined(options: object, names: readonly string[], where: string): void {
  for (const name of names) {
    if (!Object.hasOwn(options, name) || (options as Readonly<Record<string, unknown>>)[name] !== undefined) continue;
    throw badDefinition(
      where,
      `has a ${name} that is undefined`,
      `Look where it comes from, or leave it out: ...(compensate === undefined ? {} : { ${name}: compensate }).`,
    );
  }
}

/** The function, or null when it is left out. */
export function optionalFunction(value: unknown, where: string, name: string): unknown {
  if (value === undefined) return null;
  if (typeof value !== 'function')
    throw badDefinition(where, `has a ${name} that is no function`, `Write ${name}: async (…) => ….`);
  return value;
}

/** A pivot is done or not; nothing may stand in for it. */
export function checkPivot(options: { readonly pivot?: unknown; readonly fallback?: unknown }, where: string): boolean {
  const { pivot = false, fallback } = options;
  if (typeof pivot !== 'boolean') throw badDefinition(where, `has the pivot ${shown(pivot)}`, 'Give true or false.');
  if (pivot && fallback !== undefined)
    throw badDefinition(
      where,
      'is a pivot with a fallback, so that nobody could tell whether the run may still be compensated',
      'Leave one of them out, or make what stands in for it a step of its own.',
    );
  return pivot;
}

/** What is said about compensating must have something to compensate with. A pivot in doubt is verified also to go on. */
export function checkCompensation(
  options: {
    readonly compensate?: unknown;
    readonly compensation?: unknown;
    readonly verify?: unknown;
    readonly pivot?: unknown;
  },
  where: string,
): void {
  if (options.compensate !== undefined) return;
  if (options.compensation !== undefined)
    throw badDefinition(
      where,
      'has options for a compensation, but no compensate',
      'Add compensate, or remove compensation.',
    );
  if (options.verify !== undefined && options.pivot !== true)
    throw badDefinition(
      where,
      'has a verify, but no compensate: what it finds out would change nothing',
      'Add compensate, or remove verify.',
    );
}

/** Milliseconds of a timeout that something can be done in. */
export function positiveDuration(value: Duration, name: string, where: string): number {
  const ms = parseDuration(value, `${where}.${name}`);
  if (ms < 1) throw badDefinition(where, `has the ${name} ${shown(value)}`, 'Give at least 1 ms, for example 30s.');
  return ms;
}

/** As above, of an attempt that runs in this process. */
export function attemptTimeout(value: Duration, name: string, where: string): number {
  const ms = positiveDuration(value, name, where);
  if (ms > MAX_ATTEMPT_MS)
    throw badDefinition(
      where,
      `has the ${name} ${shown(value)}: an attempt lives in one process and cannot last over 24 days`,
      'Wait for what takes so long with waitFor or sleep, or make it a command.',
    );
  return ms;
}

/** Steps of one breaker name share it, so the name must be one. */
export function checkBreaker(breaker: unknown, where: string): string | null {
  if (breaker === undefined) return null;
  if (typeof breaker !== 'string' || breaker === '' || breaker.length > 100)
    throw badDefinition(
      where,
      `has the breaker ${shown(breaker)}`,
      "Give the name of what it protects, such as 'payments'.",
    );
  return breaker;
}

export function isMessage(value: unknown): value is MessageType {
  return typeof (value as MessageType | undefined)?.keyOf === 'function';
}

/** The words for a step of this message. */
export function needsMessage(message: unknown, where: string): string {
  if (!isMessage(message))
    throw badDefinition(where, 'is given no message type', "Declare one with message('topic', { schema }).");
  return `${where}('${message.topic}')`;
}

/** A value for a message, short. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  return typeof value === 'object' && value !== null ? 'of an object' : String(value);
}
