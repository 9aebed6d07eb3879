/**
 * Another company, asked by steps through the network. It knows requests by their keys and refuses what a replaced worker sends; its
 * answers get lost, come late, or never. What it has done stands in the ledger.
 */
import { isHoldfastError, Rejection } from '../../../src/errors.ts';
import type { StepContext, Verified } from '../../../src/saga/definition/steps.ts';
import { Unanswered, type Network } from '../machine/network.ts';
import type { Life } from '../machine/process.ts';
import type { Ledger, WorkOf } from './ledger.ts';
import { OFTEN, type BackWeather, type CompanyWeather, type VerifyWeather } from './weather.ts';

/** An answer that takes its time, in milliseconds: longer than impatient steps wait. */
const SLOW_MS = 2_500;

export interface Asked extends WorkOf {
  readonly what: 'done' | 'compensated';
  readonly weather: CompanyWeather | BackWeather;
}

export class Company {
  readonly #ledger: Ledger;
  readonly #network: Network;
  /** When it answers with errors, by the clock of the simulation. */
  readonly #outage: { readonly fromMs: number; readonly untilMs: number };
  /** How often each key was asked for. */
  readonly #asked = new Map<string, number>();
  /** The greatest fencing token by run: those of workers that have been replaced are refused. */
  readonly #tokens = new Map<string, number>();
  /** Run and call of what was taken back, whether or not it had been done, and of what it said that it has not done. */
  readonly #closed = new Set<string>();
  /** Somebody has talked to the company: of what plans ask for nothing goes wrong any more, but that it may not know what it has done. */
  mended = false;

  constructor(ledger: Ledger, network: Network, outage: { readonly fromMs: number; readonly untilMs: number }) {
    this.#ledger = ledger;
    this.#network = network;
    this.#outage = outage;
  }

  /** Its answer can get lost, and then nobody knows. */
  async ask(life: Life, work: Asked, context: StepContext): Promise<void> {
    const { step, what, weather } = work;
    if (weather === 'broken' && !this.mended) (undefined as unknown as { mistake(): void }).mistake();
    const nth = await this.#call(life, `${what === 'done' ? '' : 'take back '}${step}`, () =>
      this.#take(work, context),
    );
    if (this.mended) return;
    if (nth === 1 && weather === 'hanging') await new Promise(() => {});
    if (weather === 'slow') await life.sleep(SLOW_MS);
    if (nth === 1 && weather === 'failing late') {
      await life.sleep(SLOW_MS);
      throw new Error('it took too long');
    }
    if (nth === 1 && weather === 'refused when the time is up') await refuseInTheEnd(context.signal);
  }

  /** Whether it was done; it will not be any more, if it was not. */
  async find(
    life: Life,
    work: WorkOf,
    weather: VerifyWeather,
    { idempotencyKey }: StepContext,
  ): Promise<Verified<string>> {
    const place = work.runId + work.call;
    const happened = await this.#call(life, `find ${work.step}`, () => {
      const nth = this.#count(`${idempotencyKey} found`);
      if (weather === 'cannot say' || (weather === 'fails once' && nth === 1)) throw new Error('ask later');
      return this.settle(place);
    });
    return happened ? { happened, output: work.step } : { happened };
  }

  /** Somebody has asked by telephone whether it was done; it will not be any more, if it was not. */
  settle(place: string): boolean {
    if (!this.#ledger.isDone(place)) this.#closed.add(place);
    return this.#ledger.isDone(place);
  }

  #take({ what, weather, ...about }: Asked, { idempotencyKey, fencingToken, runId }: StepContext): number {
    if (fencingToken < (this.#tokens.get(runId) ?? 0)) throw new Error('a newer worker has asked');
    this.#tokens.set(runId, fencingToken);
    // As it must be with a company that requests reach late: what was taken back is not done any more.
    const place = runId + about.call;
    if (what === 'compensated') this.#closed.add(place);
    else if (this.#closed.has(place)) throw new Error('it was taken back');
    const nth = this.#count(idempotencyKey);
    this.#refuse(weather, nth);
    // What was never done there is taken back without an effect.
    if (what === 'done' || this.#ledger.isDone(place) || this.#ledger.has(idempotencyKey))
      this.#ledger.note({ ...about, what, kind: 'step', idempotencyKey });
    const isUnheard = weather === 'unheard' || (weather.startsWith('unheard') && nth === 1);
    if (isUnheard && !this.mended) throw new Error('the answer got lost');
    return nth;
  }

  #refuse(weather: Asked['weather'], nth: number): void {
    if (this.mended) return;
    if (weather === 'failing twice' && nth <= 2) throw new Error('not now');
    if (weather === 'failing often' && nth <= OFTEN) throw new Error('not now');
    if (weather === 'out of reach') throw new Error('nobody answers');
    if (weather === 'rejected' || (weather === 'unheard, then refused' && nth > 1)) throw new Rejection('no');
  }

  #count(key: string): number {
    const count = (this.#asked.get(key) ?? 0) + 1;
    this.#asked.set(key, count);
    return count;
  }

  async #call<T>(life: Life, what: string, act: () => T): Promise<T> {
    try {
      return await this.#network.call(life, 'outside', what, () => {
        const { now } = life.machine.scheduler;
        if (now >= this.#outage.fromMs && now < this.#outage.untilMs) throw new Error('out of order');
        return act();
      });
    } catch (error) {
      throw error instanceof Unanswered ? new Error('the other company has not answered') : error;
    }
  }
}

/** Rejects when the signal aborts: as a refusal, if that is because the time is up. */
function refuseInTheEnd(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = (): void =>
      reject(
        isHoldfastError(signal.reason, 'HF_STEP_TIMEOUT')
          ? new Rejection('it took too long')
          : new Error('it was ended'),
      );
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}
