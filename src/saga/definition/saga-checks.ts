/**
 * What can be known to be wrong with a saga before any run: names, kinds, schemas. What one step can tell by itself is
 * checked in step-checks.ts.
 */
import { didYouMean } from '../../runtime/options.ts';
import { STEP_KINDS } from './kind-names.ts';
import { isMessage, shown, badDefinition } from './step-checks.ts';

const SAGA_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$/;
const STEP_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,99}$/;
const SIGNAL_NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,99}$/;

/** Calls in a journal have the names of their steps; these are those of the waits. */
const NAMES_OF_WAITS = new Set(['sleep', 'wait', 'waitFor', 'sleepUntil']);
/** `then` would make a promise of the object that carries the steps; the others exist on every object. */
const NAMES_OF_LANGUAGE = new Set(['then', 'constructor', 'prototype', '__proto__', 'toString', 'toJSON', 'valueOf']);

/** The words for this saga. */
export function checkName(name: unknown): string {
  if (typeof name !== 'string')
    throw badDefinition('saga', `has the name ${shown(name)}`, "Write name: 'place-order'.");
  if (!SAGA_NAME.test(name))
    throw badDefinition('saga', `has the name ${shown(name)}`, 'Use A-Z a-z 0-9 _ - . only, at most 100 characters.');
  return `saga('${name}')`;
}

export function checkVersion(version: unknown, where: string): void {
  // The database keeps it in an integer.
  if (!Number.isInteger(version) || (version as number) < 1 || (version as number) > 2_147_483_647)
    throw badDefinition(where, `has the version ${shown(version)}`, 'Give a whole number from 1 on.');
}

export function checkConcurrency(concurrency: unknown, where: string): void {
  if (concurrency === undefined) return;
  if (!Number.isInteger(concurrency) || (concurrency as number) < 1)
    throw badDefinition(
      where,
      `has the concurrency ${shown(concurrency)}`,
      'Give a whole number from 1 on, or leave it out.',
    );
}

export function checkSchema(input: unknown, where: string): void {
  if (!isSchema(input))
    throw badDefinition(
      where,
      'has an input that is no Standard Schema',
      'Use Zod, Valibot, ArkType, or another one of https://standardschema.dev.',
    );
}

export function checkRunFunction(run: unknown, where: string): void {
  if (typeof run !== 'function') throw badDefinition(where, 'has no run', 'Write async run({ input, steps }) { … }.');
  if (/Generator/.test(run.constructor.name))
    throw badDefinition(
      where,
      'has a run that is a generator',
      'Write async run({ input, steps }) { … }, and await the steps.',
    );
}

export function checkSteps(steps: unknown, where: string): void {
  if (typeof steps !== 'object' || steps === null || Array.isArray(steps))
    throw badDefinition(where, 'has no steps by name', 'Write steps: { charge: step({ … }) }.');
  for (const [name, definition] of Object.entries(steps)) {
    checkStepName(name, where);
    checkStep(name, definition, where);
  }
}

function checkStepName(name: string, where: string): void {
  if (!STEP_NAME.test(name))
    throw badDefinition(
      where,
      `has a step with the name ${shown(name)}`,
      'Use a name that can be called: letters, digits and _, at most 100.',
    );
  if (NAMES_OF_WAITS.has(name))
    throw badDefinition(
      where,
      `has a step ${name}, a name that stands for waiting in the journal`,
      'Take a name that says what is done.',
    );
  if (NAMES_OF_LANGUAGE.has(name))
    throw badDefinition(
      where,
      `has a step ${name}, a name that JavaScript uses itself`,
      'Take a name that says what is done.',
    );
}

/** Whatever somebody may have put in the place of a step, and what to write instead. */
function checkStep(name: string, given: unknown, where: string): void {
  if (typeof given === 'function')
    throw badDefinition(where, `has a function as its step ${name}`, `Write ${name}: step({ run: … }).`);
  if (isMessage(given))
    throw badDefinition(
      where,
      `has a message type as its step ${name}`,
      `Write ${name}: command(${given.topic}) if somebody answers it, ${name}: emit(${given.topic}) if nobody does.`,
    );
  const some = (typeof given === 'object' && given !== null ? given : {}) as Readonly<Record<string, unknown>>;
  if (typeof some['kind'] === 'string') {
    if ((STEP_KINDS as readonly string[]).includes(some['kind']) && typeof some['timeoutMs'] === 'number') return;
    const near = didYouMean(some['kind'], STEP_KINDS);
    throw badDefinition(
      where,
      `has a step ${name} of the kind ${shown(some['kind'])}, which it did not get from Holdfast`,
      `Declare it with ${near ?? STEP_KINDS.join(', ')}.`,
    );
  }
  if (isSchema(some['input']) && typeof some['run'] === 'function')
    throw badDefinition(where, `has a saga as its step ${name}`, `Write ${name}: child(…).`);
  if (typeof some['run'] === 'function')
    throw badDefinition(
      where,
      `has plain options as its step ${name}`,
      `Write ${name}: step({ … }) or transaction({ … }).`,
    );
  throw badDefinition(
    where,
    `has a step ${name} that is none`,
    `Write ${name}: step({ … }), or ${STEP_KINDS.slice(1).join(', ')}.`,
  );
}

export function checkSignals(signals: unknown, steps: object, where: string): void {
  if (typeof signals !== 'object' || signals === null || Array.isArray(signals))
    throw badDefinition(where, 'has no signals by name', 'Write signals: { approved: z.object({ … }) }.');
  for (const [name, schema] of Object.entries(signals)) {
    if (!SIGNAL_NAME.test(name) || name === '__proto__')
      throw badDefinition(
        where,
        `has a signal with the name ${shown(name)}`,
        'Use letters, digits, _ - . only, at most 100.',
      );
    if (!isSchema(schema))
      throw badDefinition(
        where,
        `has a signal ${name} without a schema`,
        `Write signals: { ${name}: z.object({ … }) }.`,
      );
    if (Object.hasOwn(steps, name))
      throw badDefinition(where, `uses the name ${name} for a step and for a signal`, 'Give one of them another name.');
  }
}

/** What workers and clients are given to run. */
export function checkSagaList(sagas: unknown, where: string): void {
  if (!Array.isArray(sagas))
    throw badDefinition(where, 'is given no list of sagas', 'Write sagas: [placeOrder, bookTrip].');
  for (const each of sagas as readonly unknown[]) {
    if (typeof each === 'function')
      throw badDefinition(
        where,
        'is given a function among its sagas',
        'If it makes a saga, call it: sagas: [bookTrip(…)].',
      );
    const some = (typeof each === 'object' && each !== null ? each : {}) as Readonly<Record<string, unknown>>;
    if (typeof some['run'] !== 'function' || typeof some['name'] !== 'string' || typeof some['steps'] !== 'object')
      throw badDefinition(where, 'is given something that is no saga', 'Pass what saga({ … }) returns.');
  }
}

function isSchema(value: unknown): boolean {
  const standard = (value as { readonly '~standard'?: { readonly validate?: unknown } } | null | undefined)?.[
    '~standard'
  ];
  return typeof standard?.validate === 'function';
}
