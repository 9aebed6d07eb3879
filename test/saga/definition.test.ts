/** Declarations: what is wrong with a saga is said at start-up, with what to write instead. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { HoldfastError } from '../../src/errors.ts';
import { message } from '../../src/message/message-type.ts';
import { createRegistry, saga, stepOf, type AnySaga } from '../../src/saga/definition/definition.ts';
import { reviewSaga } from '../../src/saga/kinds/review.ts';
import { child } from '../../src/saga/kinds/child.ts';
import { command, isCommand } from '../../src/saga/kinds/command.ts';
import { emit } from '../../src/saga/kinds/emit.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';

const input = z.object({ id: z.string() });
const Reserve = message('stock.reserve', { schema: input });
const Release = message('stock.release', { schema: input });
const Confirmed = message('order.confirmed', { schema: input });

const noop = step({ run: async () => {} });
const undoable = step({ run: async () => {}, compensate: async () => {} });
const good = { name: 'place-order', input, steps: { charge: noop }, run: async () => {} };
/** Past the compiler, as JavaScript and `as any` do it. */
const declare = (options: object): AnySaga => saga(options as never);
const forget = (make: unknown) => make as (...args: unknown[]) => unknown;

/** Code, message and advice in one text. */
function refusal(declaration: () => unknown): string {
  try {
    declaration();
  } catch (error) {
    if (error instanceof HoldfastError && error.advice !== undefined) return `${error.code} ${error.message}`;
    throw error;
  }
  throw new Error('Nothing was refused.');
}

describe('saga', () => {
  it('keeps what was declared, with the defaults filled in', () => {
    const declared = saga({ ...good, deadline: '2h', signals: { approved: input } });
    expect(declared).toMatchObject({ name: 'place-order', version: 1, deadlineMs: 7_200_000, concurrency: null });
    expect(stepOf(declared, 'charge')).toBe(noop);
    expect(stepOf(declared, 'constructor')).toBeUndefined();
    expect(saga(good)).toMatchObject({ deadlineMs: null, signals: {} });
  });

  it.each<[string, unknown, string, string]>([
    ['no options', undefined, 'saga is given no options.', 'saga({ name'],
    ['a function', () => {}, 'saga is given a function.', 'saga({ name'],
    ['no name', { ...good, name: undefined }, 'has the name undefined', "name: 'place-order'"],
    ['a name with a space', { ...good, name: 'place order' }, 'has the name "place order"', 'A-Z a-z 0-9'],
    ['an empty name', { ...good, name: '' }, 'has the name ""', 'A-Z'],
    ['a name of 101 characters', { ...good, name: 'x'.repeat(101) }, 'has the name', 'at most 100'],
    ['version 0', { ...good, version: 0 }, 'version 0', 'from 1 on'],
    ['version 1.5', { ...good, version: 1.5 }, 'version 1.5', 'whole number'],
    ['a version no integer holds', { ...good, version: 2 ** 31 }, 'version 2147483648', 'whole number'],
    ['a version in text', { ...good, version: '2' }, 'version "2"', 'whole number'],
    ['an input without schema', { ...good, input: { id: 'string' } }, 'no Standard Schema', 'Zod'],
    ['no input', { ...good, input: undefined }, 'no Standard Schema', 'Zod'],
    ['no run', { ...good, run: undefined }, 'has no run', 'async run({ input, steps })'],
    ['a generator', { ...good, *run() {} }, 'generator', 'await the steps'],
    ['an async generator', { ...good, async *run() {} }, 'generator', 'await the steps'],
    ['concurrency 0', { ...good, concurrency: 0 }, 'concurrency 0', 'from 1 on'],
    ['a concurrency that is null', { ...good, concurrency: null }, 'concurrency null', 'leave it out'],
    ['a deadline of 0', { ...good, deadline: 0 }, 'has the deadline 0', 'at least 1 ms'],
    ['steps in a list', { ...good, steps: [noop] }, 'no steps by name', 'charge: step('],
    ['no steps', { ...good, steps: undefined }, 'no steps by name', 'charge: step('],
    ['signals in a list', { ...good, signals: ['approved'] }, 'no signals by name', 'approved: z.object'],
    ['a signal without schema', { ...good, signals: { ok: true } }, 'signal ok without a schema', 'ok: z.object'],
    ['a signal that cannot be named', { ...good, signals: { 'a#1': input } }, 'signal with the name "a#1"', 'letters'],
    ['a signal and a step of one name', { ...good, signals: { charge: input } }, 'the name charge', 'another name'],
  ])('refuses %s', (_, options, what, advice) => {
    const said = refusal(() => declare(options as object));
    expect(said).toContain('HF_SAGA_DEFINITION');
    expect(said).toContain(what);
    expect(said).toContain(advice);
  });

  it.each<[string, unknown, string, string]>([
    ['a function', async () => {}, 'a function as its step x', 'Write x: step({ run: … })'],
    ['a message type', Reserve, 'a message type as its step x', 'x: command(stock.reserve)'],
    ['a saga', saga(good), 'a saga as its step x', 'Write x: child('],
    ['plain options', { run: async () => {} }, 'plain options as its step x', 'Write x: step({ … })'],
    ['an unknown kind', { kind: 'comand' }, 'of the kind "comand"', 'Declare it with command.'],
    ['a kind made by hand', { kind: 'step', run: async () => {} }, 'did not get from Holdfast', 'step'],
    ['null', null, 'a step x that is none', 'x: step({ … })'],
  ])('says what to write instead of %s in the place of a step', (_, given, what, advice) => {
    const said = refusal(() => declare({ ...good, steps: { x: given } }));
    expect(said).toContain(what);
    expect(said).toContain(advice);
  });

  it.each(['sleep', 'wait', 'waitFor', 'sleepUntil', 'then', 'constructor', 'toJSON', 'a b', 'a:1', 'a#1', '1st', ''])(
    'refuses %j as the name of a step',
    (name) => {
      expect(refusal(() => declare({ ...good, steps: { [name]: noop } }))).toContain('HF_SAGA_DEFINITION');
    },
  );

  it('asks about misspelt options', () => {
    expect(refusal(() => declare({ ...good, sginals: {} }))).toContain('Did you mean "signals"?');
    expect(refusal(() => forget(step)({ run: noop, compensat: 1 }))).toContain('Did you mean "compensate"?');
    expect(refusal(() => forget(step)({ run: () => 1, compensate: () => 1, compensation: { rety: {} } }))).toContain(
      'Did you mean "retry"?',
    );
    expect(refusal(() => forget(child)(saga(good), { time: '1s' }))).toContain("child('place-order') has no option");
  });
});

describe('steps', () => {
  it.each<[string, () => unknown, string, string]>([
    ['a function', () => forget(step)(async () => {}), 'step is given a function', 'step({ run: async (input) => … })'],
    ['no options', () => forget(transaction)(), 'transaction is given no options', 'transaction({ run'],
    ['no run', () => forget(step)({}), 'step has no run', 'step({ run:'],
    ['a run that is none', () => forget(step)({ run: 'charge' }), 'a run that is no function', 'step({ run:'],
    [
      'a compensate that is none',
      () => forget(step)({ run: () => 1, compensate: {} }),
      'a compensate that is no function',
      'compensate: async',
    ],
    [
      'how to compensate, but not with what',
      () => step({ run: () => 1, compensation: { timeout: '1s' } }),
      'no compensate',
      'Add compensate',
    ],
    [
      'a command likewise',
      () => command(Reserve, { compensation: { retry: { attempts: 2 } } }),
      "command('stock.reserve') has options for a compensation",
      'Add compensate',
    ],
    [
      'verify, but nothing to compensate',
      () => step({ run: () => 1, verify: () => ({ happened: false }) }),
      'verify, but no compensate',
      'remove verify',
    ],
    [
      'a pivot that may be stood in for',
      () => step({ run: () => 1, pivot: true, fallback: () => 2 }),
      'a pivot with a fallback',
      'step of its own',
    ],
    ['a pivot that is a text', () => forget(step)({ run: () => 1, pivot: 'yes' }), 'the pivot "yes"', 'true or false'],
    ['a timeout of 0', () => step({ run: () => 1, timeout: 0 }), 'the timeout 0', 'at least 1 ms'],
    ['a timeout of 0s', () => command(Reserve, { timeout: '0s' }), 'the timeout "0s"', 'at least 1 ms'],
    [
      'a timeout of 0 for a compensation',
      () => step({ run: () => 1, compensate: () => 1, compensation: { timeout: 0 } }),
      'step.compensation has the timeout 0',
      'at least 1 ms',
    ],
    ['an attempt of a month', () => step({ run: () => 1, timeout: '30d' }), 'over 24 days', 'waitFor'],
    ['a breaker without name', () => step({ run: () => 1, breaker: '' }), 'the breaker ""', "'payments'"],
    ['a command without message', () => forget(command)('stock.reserve'), 'no message type', "message('topic'"],
    [
      'a reply that is none',
      () => forget(command)(Reserve, { reply: 'ok' }),
      "command('stock.reserve').reply",
      'message(',
    ],
    [
      'a compensate that is no message',
      () => forget(command)(Reserve, { compensate: () => 1 }),
      'a compensate that is no message',
      '{ message: Type, payload',
    ],
    [
      'a command that compensates itself',
      () => command(Reserve, { compensate: Reserve }),
      'done again',
      'takes it back',
    ],
    ['a pivot on emit', () => forget(emit)(Confirmed, { pivot: true }), 'answered by nobody', 'Mark the step'],
    ['a timeout on emit', () => forget(emit)(Confirmed, { timeout: '1s' }), 'option timeout', 'or use command('],
    ['a child that is a text', () => forget(child)('book-trip'), 'child is given no saga', 'child(bookHotel)'],
    ['a child yet to be made', () => forget(child)(() => saga(good)), 'child is given a function', 'call it'],
    ['a child with no time', () => child(saga(good), { timeout: 0 }), 'the timeout 0', 'at least 1 ms'],
  ])('refuse %s', (_, declaration, what, advice) => {
    const said = refusal(declaration);
    expect(said).toContain('HF_SAGA_DEFINITION');
    expect(said).toContain(what);
    expect(said).toContain(advice);
  });

  it.each(['-1s', -1, Number.NaN, Infinity, '1 minute'])('refuse %j as a timeout', (timeout) => {
    expect(refusal(() => command(Reserve, { timeout: timeout as number }))).toContain('HF_DURATION');
  });

  it('let a pivot be compensated while it is in doubt', () => {
    const verify = () => ({ happened: false }) as const;
    expect(step({ run: () => 1, pivot: true, compensate: () => 1, verify })).toMatchObject({ pivot: true });
  });

  it('have the defaults that stand in their comments', () => {
    expect(noop).toMatchObject({ pivot: false, timeoutMs: 30_000, retry: { attempts: 5 }, breaker: null });
    expect(step({ run: () => 1, timeout: '2s', compensate: () => 1 }).compensation).toMatchObject({ timeoutMs: 2_000 });
    expect(child(saga(good))).toMatchObject({ timeoutMs: Infinity, compensation: { timeoutMs: Infinity } });
    expect(child(saga(good), { timeout: '60d' })).toMatchObject({ timeoutMs: 5_184_000_000 });
  });

  it('compensate a command with its own payload, unless told otherwise', () => {
    const plain = command(Reserve, { compensate: Release });
    const mapped = command(Reserve, { compensate: { message: Release, payload: () => ({ id: 'other' }) } });
    const payloadOf = (made: typeof plain): unknown =>
      isCommand(made) &&
      made.compensate?.payload({ input: { id: 'own' }, outcome: 'unknown', output: undefined, key: 'k' });
    expect(payloadOf(plain)).toEqual({ id: 'own' });
    expect(payloadOf(mapped)).toEqual({ id: 'other' });
  });
});

describe('a registry', () => {
  const v1 = saga(good);
  const v2 = saga({ ...good, version: 2 });

  it('finds each version, and the newest', () => {
    const registry = createRegistry([v2, v1, v1], 'worker');
    expect(registry.all).toEqual([v2, v1]);
    expect(registry.find('place-order', 1)).toBe(v1);
    expect(registry.find('place-order', 3)).toBeUndefined();
    expect(registry.newest('place-order')).toBe(v2);
    expect(refusal(() => registry.newest('place-oder'))).toContain('HF_SAGA_UNKNOWN');
    expect(refusal(() => registry.newest('place-oder'))).toContain('Did you mean "place-order"?');
    expect(refusal(() => createRegistry([], 'worker').newest('x'))).toContain('Known: none.');
  });

  it.each<[string, unknown, string]>([
    ['two sagas of one name and version', [v1, saga(good)], 'two sagas place-order of version 1'],
    ['a child that is not there', [saga({ ...good, name: 'p', steps: { inner: child(v2) } }), v1], 'whose step inner'],
    ['a saga that is not in a list', v1, 'no list of sagas'],
    ['what makes a saga', [() => v1], 'call it'],
    ['a step', [noop], 'no saga'],
    ['nothing', [undefined], 'no saga'],
  ])('refuses %s', (_, sagas, what) => {
    const said = refusal(() => createRegistry(sagas as readonly AnySaga[], 'worker'));
    expect(said).toContain('HF_SAGA_DEFINITION');
    expect(said).toContain(what);
  });
});

describe('a review', () => {
  const steps = { charge: undoable };
  const seen = (options: object): readonly (string | null)[] =>
    reviewSaga(declare(options)).map(({ step: name }) => name);

  it('has nothing to say about most', () => {
    expect(reviewSaga(saga(good))).toEqual([]);
    expect(reviewSaga(saga({ ...good, steps, deadline: '1h' }))).toEqual([]);
  });

  it('names steps that can outlast the deadline', () => {
    const slow = command(Reserve, { compensate: Release, timeout: '30s', retry: { attempts: 10, within: '5m' } });
    expect(seen({ ...good, steps: { slow }, deadline: '2m' })).toEqual(['slow']);
    expect(seen({ ...good, steps: { slow }, deadline: '6m' })).toEqual([]);
    // Attempts may end earlier than the time they are given.
    expect(seen({ ...good, steps: { two: command(Reserve, { retry: { attempts: 2 } }) }, deadline: '60s' })).toEqual(
      [],
    );
    expect(seen({ ...good, steps: { inner: child(saga(good), { timeout: '2d' }) }, deadline: '1d' })).toEqual([
      'inner',
    ]);
  });

  it('minds no steps that have no time of their own', () => {
    const untimed = { inner: child(saga(good)), confirm: emit(Confirmed) };
    expect(seen({ ...good, steps: untimed, deadline: '1s' })).toEqual([]);
  });

  it('minds no deadline behind a pivot', () => {
    const ship = command(Reserve, { pivot: true, retry: { attempts: Infinity, within: '7d' } });
    expect(seen({ ...good, steps: { ...steps, ship }, deadline: '1h' })).toEqual([]);
  });

  it('names a child with a pivot that the parent believes it can compensate', () => {
    const inner = saga({ ...good, name: 'inner', steps: { ship: step({ run: () => 1, pivot: true }) } });
    expect(seen({ ...good, steps: { inner: child(inner) } })).toEqual(['inner']);
    expect(seen({ ...good, steps: { inner: child(inner, { pivot: true }) } })).toEqual([]);
  });

  it('sees when nothing can be compensated', () => {
    expect(seen({ ...good, steps: { a: noop, b: noop } })).toEqual([null]);
    expect(seen({ ...good, steps: { a: noop, confirm: emit(Confirmed) } })).toEqual([]);
  });
});
