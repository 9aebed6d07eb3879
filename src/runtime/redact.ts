/**
 * What is not shown of values that were meant for machines: payloads, inputs and outputs of steps, the details of errors. Fields are
 * named by their paths; what stands at one is replaced before anybody sees it. Pure, and of no use against whoever may read the tables.
 *
 * It hides rather too much than too little: a path goes through lists by itself, and a name with dots in it is read as the path that it
 * looks like as well.
 */
import { HoldfastError } from '../errors.ts';

/** Gives the value as it may be shown. Never changes what it is given. */
export type Redactor = (value: unknown) => unknown;

/** What stands in the place of what is hidden. */
export const REDACTED = '[redacted]';

/** For those who have nothing to hide. */
export const showAll: Redactor = (value) => value;

const MOST_PATHS = 1_000;
const MOST_NAMES = 64;
const MOST_CHARACTERS = 1_000;

/**
 * A redactor for these paths: names joined by dots, from the top of the value. `*` stands for one name, whatever it is, `**` for any number
 * of them, none included: `customer.email`, `card.*`, `**.password`. A path without an end in the value hides nothing.
 *
 * @param where names the option in errors
 * @throws HoldfastError HF_CONFIG for what is no list of paths
 * @example
 * const redact = createRedactor(['customer.email', '**.password']);
 * console.log(redact({ customer: { email: 'ann@example.org', city: 'Riga' } })); // { customer: { email: '[redacted]', city: 'Riga' } }
 */
export function createRedactor(paths: readonly string[], where = 'redact'): Redactor {
  const machine = compile(paths, where);
  if (machine.starts.size === 0) return showAll;
  return (value) => (typeof value === 'object' && value !== null ? copyWithout(value, machine) : value);
}

/** All paths as one machine. A state is a place in one of them: which name comes next. */
interface Machine {
  /** The names, path after path, an empty one behind each path. */
  readonly names: readonly string[];
  readonly starts: ReadonlySet<number>;
}

/** No name is empty, so this one can stand for the end of a path. */
const END = '';

function compile(paths: readonly string[], where: string): Machine {
  if (!Array.isArray(paths)) throw notPaths(where, 'is no list', "Write redact: ['customer.email', 'card.*'].");
  if (paths.length > MOST_PATHS)
    throw notPaths(where, `has ${paths.length} paths`, `Give at most ${MOST_PATHS}; a * or ** may stand for many.`);
  const names: string[] = [];
  const starts = new Set<number>();
  for (const path of paths as readonly unknown[]) {
    const parts = partsOf(path, where);
    const start = names.length;
    names.push(...parts, END);
    enter(names, start, starts);
  }
  return { names, starts };
}

function partsOf(path: unknown, where: string): readonly string[] {
  if (typeof path !== 'string') throw notPaths(where, `has a path of type ${typeof path}`, 'Give texts.');
  const shown = JSON.stringify(path.slice(0, 100));
  const parts = path.split('.');
  if (path.length > MOST_CHARACTERS || parts.length > MOST_NAMES)
    throw notPaths(where, `has a path of ${path.length} characters`, `Give at most ${MOST_NAMES} names.`);
  if (parts.includes('')) throw notPaths(where, `has the path ${shown}`, 'Between two dots stands a name, * or **.');
  if (parts.some((part) => part.includes('*') && part !== '*' && part !== '**'))
    throw notPaths(where, `has the path ${shown}`, 'A * stands for a whole name, and ** for any number of them.');
  // They would hide everything, which nobody means who names paths.
  if (parts.every((part) => part === '**'))
    throw notPaths(where, `has the path ${shown}`, "That is everything: write '*' for all fields at the top.");
  return parts;
}

function notPaths(where: string, what: string, advice: string): HoldfastError {
  return new HoldfastError('HF_CONFIG', `${where} ${what}.`, { advice });
}

/** Adds a state, and those that are reached from it without a name: `**` may stand for nothing. */
function enter(names: readonly string[], state: number, into: Set<number>): void {
  for (let at = state; !into.has(at); at += 1) {
    into.add(at);
    if (names[at] !== '**') return;
  }
}

/** The states after one more name; null: a path has come to its end there. */
function step(names: readonly string[], states: ReadonlySet<number>, name: string): ReadonlySet<number> | null {
  const next = new Set<number>();
  for (const state of states) {
    const wanted = names[state];
    if (wanted === '**') enter(names, state, next);
    else if (wanted === '*' || wanted === name) enter(names, state + 1, next);
  }
  for (const state of next) if (names[state] === END) return null;
  return next;
}

/** The states after a name of the value, which may look like several. Each of them is tried, and the name as a whole. */
function stepInto(names: readonly string[], states: ReadonlySet<number>, name: string): ReadonlySet<number> | null {
  const whole = step(names, states, name === END ? ' ' : name);
  if (whole === null || !name.includes('.')) return whole;
  const all = new Set(whole);
  let after: ReadonlySet<number> | null = states;
  for (const part of name.split('.')) {
    after = step(names, after, part === END ? ' ' : part);
    if (after === null) return null;
  }
  for (const state of after) all.add(state);
  return all;
}

interface Pending {
  readonly from: object;
  readonly to: unknown[] | Record<string, unknown>;
  readonly states: ReadonlySet<number>;
}

/** With a list of what is left to do, and not by calling itself: how deep a value is, is for others to say. */
function copyWithout(value: object, { names, starts }: Machine): unknown {
  const root = emptyLike(value);
  const pending: Pending[] = [{ from: value, to: root, states: starts }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { from, to, states } = next;
    const put = (name: string, each: unknown, after: ReadonlySet<number> | null): void => {
      if (after === null) return set(to, name, REDACTED);
      // Nothing in there is named by any path.
      if (typeof each !== 'object' || each === null || after.size === 0) return set(to, name, each);
      const copy = emptyLike(each);
      set(to, name, copy);
      pending.push({ from: each, to: copy, states: after });
    };
    if (Array.isArray(from)) {
      for (const [index, each] of (from as readonly unknown[]).entries())
        put(String(index), each, stepOverItem(names, states, String(index)));
    } else for (const [name, each] of Object.entries(from)) put(name, each, stepInto(names, states, name));
  }
  return root;
}

/** A path goes through a list by itself, and may also count its items or say * for them. */
function stepOverItem(
  names: readonly string[],
  states: ReadonlySet<number>,
  index: string,
): ReadonlySet<number> | null {
  const named = step(names, states, index);
  return named === null ? null : new Set([...states, ...named]);
}

function emptyLike(value: object): unknown[] | Record<string, unknown> {
  return Array.isArray(value) ? [] : {};
}

/** Not by assignment: a field may be called `__proto__`. */
function set(to: object, name: string, value: unknown): void {
  Object.defineProperty(to, name, { value, writable: true, enumerable: true, configurable: true });
}
