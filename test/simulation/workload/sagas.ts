/**
 * The sagas that are simulated: steps, transactions, commands, children, signals and timers; with pivots, refusals, failures that pass, and
 * a mistake that a later deployment mends.
 */
import { child } from '../../../src/saga/kinds/child.ts';
import { command } from '../../../src/saga/kinds/command.ts';
import { emit } from '../../../src/saga/kinds/emit.ts';
import { saga, type AnySaga } from '../../../src/saga/definition/definition.ts';
import { canCompensate } from '../../../src/saga/definition/steps.ts';
import { z } from 'zod';
import type { DeclaredStep } from '../invariants/attempt-judge.ts';
import { drawnSagas } from './drawn.ts';
import { Charge, Charged, News, Plan, Refund, Release, Reserve, Reserved, Ship } from './messages.ts';
import { retry, patient, stepsOf, type StepHost } from './steps.ts';

/**
 * As a process has them: with its own ways to the outside, which are those of the host at the time.
 * @param lost whether it is code that has lost compensations
 */
export function sagasOf(host: StepHost, lost: boolean): Sagas {
  const { outside, inside } = stepsOf(host);
  const transfer = saga({
    name: 'transfer',
    input: Plan,
    steps: {
      debit: inside('transfer', 'debit'),
      check: outside('transfer', 'check'),
      credit: inside('transfer', 'credit', { pivot: true }),
      receipt: outside('transfer', 'receipt'),
    },
    async run({ input, steps }) {
      const { amount } = input;
      await steps.debit({ amount, weather: input.first });
      // A mistake of the code, which nobody means as a failure.
      if (input.bug && host.surroundings.life.generation === 0) (undefined as unknown as { mistake(): void }).mistake();
      await steps.check({ amount, weather: input.second });
      await steps.credit({ amount, weather: input.third });
      await steps.receipt({ amount, weather: 'fair' });
      return amount;
    },
  });
  const order = saga({
    name: 'order',
    input: Plan,
    steps: {
      charge: command(Charge, { ...patient, reply: Charged, compensate: Refund, timeout: '4s' }),
      reserve: command(Reserve, { ...patient, reply: Reserved, compensate: Release, timeout: '4s' }),
      pack: outside('order', 'pack'),
      ship: command(Ship, { retry, pivot: true, timeout: '4s' }),
      news: emit(News),
    },
    async run({ input, steps, runId }) {
      const { order: name, amount } = input;
      await steps.news({ order: name, run: runId }, { id: 'begun' });
      const [{ payment }] = await Promise.all([
        steps.charge({ order: name, amount, weather: input.first }),
        steps.reserve({ order: name, amount, weather: input.second }),
      ]);
      if (input.bug && host.surroundings.life.generation === 0) (undefined as unknown as { mistake(): void }).mistake();
      await steps.news({ order: name, run: runId }, { id: 'reserved' });
      await steps.pack({ amount, weather: input.third });
      await steps.ship({ order: name, amount, weather: 'fair' });
      await steps.news({ order: name, run: runId }, { id: 'shipped' });
      return payment;
    },
  });
  /** A child that can be compensated after its end: it has no pivot. */
  const fare = saga({
    name: 'fare',
    input: Plan,
    steps: { debit: inside('fare', 'debit'), check: outside('fare', 'check') },
    async run({ input, steps }) {
      const { amount } = input;
      await steps.debit({ amount, weather: input.first });
      await steps.check({ amount, weather: input.second });
      return amount;
    },
  });
  const trip = saga({
    name: 'trip',
    input: Plan,
    steps: {
      flight: outside('trip', 'flight'),
      fare: child(fare),
      hotel: inside('trip', 'hotel'),
    },
    async run({ input, steps }) {
      const { amount } = input;
      await steps.flight({ amount, weather: input.first });
      const paid = await steps.fare({ ...input, first: 'fair', third: 'fair', bug: false });
      await steps.hotel({ amount, weather: input.third });
      return paid;
    },
  });
  const approval = saga({
    name: 'approval',
    input: Plan,
    signals: { go: z.object({ n: z.number() }) },
    steps: {
      submit: inside('approval', 'submit'),
      remind: outside('approval', 'remind'),
    },
    async run({ input, steps, sleep, waitFor }) {
      const { amount } = input;
      await steps.submit({ amount, weather: input.first });
      const told: number[] = [];
      for (let n = 1; n <= 3; n += 1) {
        const signal = await waitFor('go', { timeout: '3s' });
        if (signal !== null) told.push(signal.n);
        else await steps.remind({ amount, weather: n === 1 ? input.second : 'fair' }, { id: `${n}` });
      }
      await sleep('2s');
      return told;
    },
  });
  return { transfer, order, trip, fare, approval, ...drawnSagas(host, lost) };
}

export interface Sagas {
  readonly transfer: AnySaga;
  readonly order: AnySaga;
  readonly trip: AnySaga;
  readonly fare: AnySaga;
  readonly approval: AnySaga;
  readonly drawn: AnySaga;
  readonly part: AnySaga;
}

/** What the declarations say of each step, by its name. */
export function declarationsOf(
  sagas: readonly AnySaga[],
): (step: string) => { readonly pivot: boolean; readonly undoable: boolean } | null {
  const declared = new Map(
    sagas.flatMap(({ steps }) =>
      Object.entries(steps).map(
        ([name, each]) => [name, { pivot: each.pivot, undoable: canCompensate(each) }] as const,
      ),
    ),
  );
  return (name) => declared.get(name) ?? null;
}

/** As above, of the attempts of those that are attempted in a worker. */
export function attemptedOf(sagas: readonly AnySaga[]): (step: string) => DeclaredStep | null {
  const declared = new Map<string, DeclaredStep>();
  for (const [name, step] of sagas.flatMap(({ steps }) => Object.entries(steps))) {
    if (step.kind !== 'step' && step.kind !== 'transaction') continue;
    declared.set(name, {
      attempts: step.retry.attempts,
      hasDeadline: step.deadlineMs !== Infinity,
      verifies: step.verify !== null,
      fallsBack: step.fallback !== null,
    });
  }
  return (name) => declared.get(name) ?? null;
}
