/**
 * The sagas that are simulated: steps, transactions, commands, children, signals and timers; with pivots, refusals, failures that pass, and
 * a mistake that a later deployment mends.
 */
import { child } from '../../../src/saga/kinds/child.ts';
import { command } from '../../../src/saga/kinds/command.ts';
import { emit } from '../../../src/saga/kinds/emit.ts';
import { step } from '../../../src/saga/kinds/step.ts';
import { transaction } from '../../../src/saga/kinds/transaction.ts';
import { saga, type AnySaga } from '../../../src/saga/definition/definition.ts';
import { canCompensate, type StepContext } from '../../../src/saga/definition/steps.ts';
import { HoldfastError, Rejection } from '../../../src/errors.ts';
import { z } from 'zod';
import type { EffectOf } from '../../../src/testing/saga/effects-log.ts';
import type { Network } from '../machine/network.ts';
import type { Life } from '../machine/process.ts';
import type { Ledger, Weather } from '../services/ledger.ts';
import { Charge, Charged, News, Plan, Refund, Release, Reserve, Reserved, Ship } from './messages.ts';

/** The effects of a transaction, which happen with its commit. */
export interface SimulatedTx {
  readonly effects: (EffectOf & { readonly amount: number })[];
}

interface Asked {
  readonly weather: Weather;
  readonly amount: number;
}

/** Patient: whatever the infrastructure does, only a refusal decides. */
const retry = { attempts: 1_000, base: '100ms', cap: '2s', within: '10h' } as const;
const patient = { retry, compensation: { retry } } as const;

export interface SagaSurroundings {
  readonly life: Life;
  readonly network: Network;
  readonly ledger: Ledger;
  /** Told of each attempt to ask another company, before it is sent. */
  readonly onAttempt: (runId: string, call: string, token: number, what: 'done' | 'compensated') => void;
}

/** As a process has them: with its own ways to the outside. */
export function sagasOf({ life, network, ledger, onAttempt }: SagaSurroundings): Sagas {
  /** A step that asks another company. */
  const outside = (sagaName: string, name: string) =>
    step<Asked, string>({
      ...patient,
      timeout: '6s',
      async run({ weather, amount }, context) {
        const work = { ...workOf(context, sagaName, name), amount, what: 'done', weather } as const;
        onAttempt(work.runId, work.call, context.fencingToken, 'done');
        await ledger.ask(life, network, work, context);
        return `${name} of ${amount}`;
      },
      async compensate({ input: { amount } }, context) {
        const work = { ...workOf(context, sagaName, name), amount, what: 'compensated', weather: 'fair' } as const;
        onAttempt(work.runId, work.call, context.fencingToken, 'compensated');
        await ledger.ask(life, network, work, context);
      },
    });
  /** A transaction step. */
  const inside = (sagaName: string, name: string, pivot: boolean) => {
    const note = (context: StepContext, tx: unknown, amount: number, what: 'done' | 'compensated'): void => {
      const { idempotencyKey } = context;
      const work = workOf(context, sagaName, name);
      (tx as SimulatedTx).effects.push({ ...work, amount, kind: 'transaction', what, idempotencyKey });
    };
    const statement = `${name} in a transaction`;
    const run = async (
      { weather, amount }: Asked,
      { tx, ...context }: StepContext & { readonly tx: unknown },
    ): Promise<string> => {
      await inDatabase(life, network, statement);
      if (weather === 'rejected') throw new Rejection('no');
      if (ledger.fails(context.idempotencyKey, weather)) throw new Error('not now');
      note(context, tx, amount, 'done');
      return name;
    };
    if (pivot) return transaction<Asked, string>({ retry, pivot, run });
    return transaction<Asked, string>({
      ...patient,
      run,
      async compensate({ input }, { tx, ...context }) {
        await inDatabase(life, network, statement);
        note(context, tx, input.amount, 'compensated');
      },
    });
  };

  const transfer = saga({
    name: 'transfer',
    input: Plan,
    steps: {
      debit: inside('transfer', 'debit', false),
      check: outside('transfer', 'check'),
      credit: inside('transfer', 'credit', true),
      receipt: outside('transfer', 'receipt'),
    },
    async run({ input, steps }) {
      const { amount } = input;
      await steps.debit({ amount, weather: input.first });
      // A mistake of the code, which nobody means as a failure.
      if (input.bug && life.generation === 0) (undefined as unknown as { mistake(): void }).mistake();
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
      if (input.bug && life.generation === 0) (undefined as unknown as { mistake(): void }).mistake();
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
    steps: { debit: inside('fare', 'debit', false), check: outside('fare', 'check') },
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
      hotel: inside('trip', 'hotel', false),
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
      submit: inside('approval', 'submit', false),
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
  return { transfer, order, trip, fare, approval };
}

export interface Sagas {
  readonly transfer: AnySaga;
  readonly order: AnySaga;
  readonly trip: AnySaga;
  readonly fare: AnySaga;
  readonly approval: AnySaga;
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

/** A statement of a transaction. When nobody answers, the connection is gone, and the transaction with it. */
async function inDatabase(life: Life, network: Network, statement: string): Promise<void> {
  try {
    await network.call(life, 'store', statement, () => undefined);
  } catch (error) {
    throw new HoldfastError('HF_DATABASE_UNAVAILABLE', 'The connection is lost.', { cause: error });
  }
}

function workOf({ runId, idempotencyKey }: StepContext, sagaName: string, name: string) {
  // As the key is made: run, call, and what says that it compensates.
  const call = idempotencyKey.slice(runId.length + 1).replace(/:undo(:\d+)?$/, '');
  return { runId, saga: sagaName, step: name, call };
}
