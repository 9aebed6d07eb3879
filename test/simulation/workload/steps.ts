/**
 * Steps as the simulated sagas declare them: some ask another company, some work in a transaction. Each attempt is shown to the judges
 * before it begins and when it ends.
 */
import { HoldfastError, isHoldfastError, Rejection } from '../../../src/errors.ts';
import { step } from '../../../src/saga/kinds/step.ts';
import { transaction } from '../../../src/saga/kinds/transaction.ts';
import type { RetryOptions } from '../../../src/runtime/retry.ts';
import type { StepContext, TransactionContext } from '../../../src/saga/definition/steps.ts';
import type { EffectOf } from '../../../src/testing/saga/effects-log.ts';
import type { Network } from '../machine/network.ts';
import type { Life } from '../machine/process.ts';
import type { Company } from '../services/company.ts';
import type { Ledger, WorkOf } from '../services/ledger.ts';
import { OFTEN, type BackWeather, type CompanyWeather, type VerifyWeather } from '../services/weather.ts';
import type { MenuStep } from './menu.ts';

/** The effects of a transaction, which happen with its commit. */
export interface SimulatedTx {
  readonly effects: (EffectOf & { readonly amount: number })[];
  /** Its connection is gone. */
  isBroken?: boolean;
}

/** What a step is called with. */
export interface Asked {
  readonly weather: CompanyWeather;
  readonly amount: number;
  readonly back?: BackWeather | undefined;
  readonly asked?: VerifyWeather | undefined;
}

/** Patient: whatever the infrastructure does, only a refusal decides. */
export const retry = { attempts: 1_000, base: '100ms', cap: '2s', within: '10h' } as const;
export const patient = { retry, compensation: { retry } } as const;

/** One attempt of a step, of its compensation, or of its check. */
export interface SeenAttempt {
  readonly runId: string;
  readonly call: string;
  readonly kind: 'step' | 'transaction';
  readonly what: 'done' | 'compensated' | 'verified';
  readonly token: number;
  /** As the engine counts them. */
  readonly nth: number;
  /** The life of the worker that makes it. */
  readonly by: { readonly alive: boolean };
}

/**
 * `late`: done, when its time was up. `refused`: for good. `cut short`: its worker was about to stop, or the connection of its transaction
 * was lost. `timed out`, `aborted`: its signal says so, and it has not ended yet.
 */
export type AttemptEnd = 'done' | 'late' | 'refused' | 'failed' | 'cut short' | 'timed out' | 'aborted';

export interface AttemptWatch {
  begins(attempt: SeenAttempt): void;
  ends(attempt: SeenAttempt, how: AttemptEnd): void;
}

export interface SagaSurroundings {
  readonly life: Life;
  readonly network: Network;
  readonly ledger: Ledger;
  readonly company: Company;
  readonly watch: AttemptWatch;
}

/** Whoever the steps are lent to: they are declared once, and used in one life after the other. */
export interface StepHost {
  readonly surroundings: SagaSurroundings;
}

/** What of the menu is said of a step; what is left out is as patient as can be. */
export type Declared = Partial<Omit<MenuStep, 'kind'>>;

/** An answer that takes its time, in milliseconds. */
const SLOW_MS = 2_500;
/** What a fallback says. */
export const STOOD_IN = 'stood in';

export function stepsOf(host: StepHost) {
  return {
    /** A step that asks another company. */
    outside: (saga: string, name: string, declared: Declared = {}) => outside(host, saga, name, declared),
    /** A step in a transaction. */
    inside: (saga: string, name: string, declared: Declared = {}) => inside(host, saga, name, declared),
  };
}

function outside(host: StepHost, saga: string, name: string, declared: Declared) {
  const attempt = <T>(
    what: SeenAttempt['what'],
    amount: number,
    context: StepContext,
    act: (work: WorkOf, around: SagaSurroundings) => Promise<T>,
  ): Promise<T> => {
    const { surroundings } = host;
    const work = workOf(context, saga, name, amount);
    const seen = seenBy(surroundings.life, work, 'step', what, context);
    return watched(surroundings.watch, seen, context, () => act(work, surroundings));
  };
  return step<Asked, string>({
    ...optionsOf(declared),
    async run({ weather, amount }, context) {
      await attempt('done', amount, context, (work, { life, company }) =>
        company.ask(life, { ...work, what: 'done', weather }, context),
      );
      return name;
    },
    ...(canCompensate(declared) && {
      compensate: ({ input: { amount, back: weather = 'fair' } }, context) =>
        attempt('compensated', amount, context, (work, { life, company }) =>
          company.ask(life, { ...work, what: 'compensated', weather }, context),
        ),
    }),
    ...(declared.verifies === true && {
      verify: ({ amount, asked = 'knows' }, context) =>
        attempt('verified', amount, context, (work, { life, company }) => {
          // Of a pivot it is asked for many minutes, longer than a simulation waits.
          const isKnown = declared.pivot === true && company.mended;
          return company.find(life, work, isKnown ? 'knows' : asked, context);
        }),
    }),
  });
}

function inside(host: StepHost, saga: string, name: string, declared: Declared) {
  const act = (what: 'done' | 'compensated', { amount, weather, back = 'fair' }: Asked, context: StepContext) => {
    const { surroundings } = host;
    const { life, network, watch } = surroundings;
    const work = workOf(context, saga, name, amount);
    const { tx } = context as TransactionContext<SimulatedTx>;
    const { idempotencyKey } = context;
    return watched(watch, seenBy(life, work, 'transaction', what, context), context, async () => {
      await inDatabase(life, network, tx, `${name} in a transaction`);
      await meet(surroundings, what === 'done' ? weather : back, idempotencyKey);
      tx.effects.push({ ...work, kind: 'transaction', what, idempotencyKey });
      return name;
    });
  };
  return transaction<Asked, string>({
    ...optionsOf(declared),
    run: (input, context) => act('done', input, context),
    ...(canCompensate(declared) && {
      compensate: ({ input }, context) => act('compensated', input, context),
    }),
  });
}

/** What the code of a transaction meets, which asks nobody else. */
async function meet(
  { life, ledger, company }: SagaSurroundings,
  weather: CompanyWeather | BackWeather,
  key: string,
): Promise<void> {
  if (company.mended) return;
  const failures = weather === 'failing twice' ? 2 : weather === 'failing often' ? OFTEN : 0;
  if (ledger.fails(key, failures)) throw new Error('not now');
  if (weather === 'slow') await life.sleep(SLOW_MS);
  if (weather === 'rejected') throw new Rejection('no');
  if (weather === 'out of reach') throw new Error('nobody answers');
  if (weather === 'broken') (undefined as unknown as { mistake(): void }).mistake();
}

function canCompensate({ compensates, pivot }: Declared): boolean {
  return compensates ?? pivot !== true;
}

function optionsOf(declared: Declared) {
  const { pivot = false, attempts, backAttempts, timeout = '6s', deadline, fallsBack = false } = declared;
  return {
    pivot,
    timeout,
    retry: retryOf(attempts),
    ...(deadline === undefined ? {} : { deadline }),
    ...(canCompensate(declared) && { compensation: { retry: retryOf(backAttempts) } }),
    ...(fallsBack && { fallback: () => STOOD_IN }),
  };
}

/** Attempts that are few come soon after each other. */
export function retryOf(attempts: number | undefined): RetryOptions {
  if (attempts === undefined || attempts === retry.attempts) return retry;
  return { attempts, base: '50ms', cap: '300ms', within: '20s' };
}

function seenBy(
  by: Life,
  { runId, call }: WorkOf,
  kind: SeenAttempt['kind'],
  what: SeenAttempt['what'],
  { fencingToken: token, attempt: nth }: StepContext,
): SeenAttempt {
  return { runId, call, kind, what, token, nth, by };
}

async function watched<T>(
  watch: AttemptWatch,
  attempt: SeenAttempt,
  { signal }: StepContext,
  work: () => Promise<T>,
): Promise<T> {
  watch.begins(attempt);
  const isTimeUp = (): boolean => isHoldfastError(signal.reason, 'HF_STEP_TIMEOUT');
  signal.addEventListener('abort', () => watch.ends(attempt, isTimeUp() ? 'timed out' : 'aborted'), { once: true });
  try {
    const result = await work();
    watch.ends(attempt, isTimeUp() ? 'late' : 'done');
    return result;
  } catch (error) {
    watch.ends(attempt, endOf(error, signal));
    throw error;
  }
}

function endOf(error: unknown, signal: AbortSignal): AttemptEnd {
  if (isHoldfastError(signal.reason, 'HF_STEP_TIMEOUT')) return 'timed out';
  if (error instanceof Rejection) return 'refused';
  const isCut = isHoldfastError(signal.reason, 'HF_STOPPED') || isHoldfastError(error, 'HF_DATABASE_UNAVAILABLE');
  return isCut ? 'cut short' : 'failed';
}

/** A statement of a transaction. When nobody answers, the connection is gone, and the transaction with it. */
async function inDatabase(life: Life, network: Network, tx: SimulatedTx, statement: string): Promise<void> {
  try {
    await network.call(life, 'store', statement, () => undefined);
  } catch (error) {
    tx.isBroken = true;
    throw new HoldfastError('HF_DATABASE_UNAVAILABLE', 'The connection is lost.', { cause: error });
  }
}

function workOf({ runId, idempotencyKey }: StepContext, saga: string, name: string, amount: number): WorkOf {
  // As the key is made: run, call, its round, and what says that it compensates.
  const call = idempotencyKey.slice(runId.length + 1).replace(/(!\d+)?(:undo(:\d+)?)?$/, '');
  return { runId, saga, step: name, call, amount };
}
