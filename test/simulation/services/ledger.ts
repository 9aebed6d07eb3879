/**
 * What really happened, noted outside of what is simulated: effects in the databases of services, and what another company's interface was
 * asked to do. It knows nothing of journals.
 */
import { createEffectsLog, type EffectOf } from '../../../src/testing/saga/effects-log.ts';
import type { StepContext } from '../../../src/saga/definition/steps.ts';
import { Rejection } from '../../../src/errors.ts';
import { Unanswered, type Network } from '../machine/network.ts';
import type { Life } from '../machine/process.ts';

/** What a step is to meet, by the plan of its run. */
export type Weather = 'fair' | 'rejected' | 'failing twice';

/** Which piece of work of which run. */
export interface WorkOf {
  readonly runId: string;
  readonly saga: string;
  readonly step: string;
  readonly call: string;
  readonly amount: number;
}

export class Ledger {
  readonly log = createEffectsLog(() => {});
  /** Told of each effect at its moment. */
  readonly #onEffect: (effect: EffectOf, places: number) => void;
  readonly #failures = new Map<string, number>();
  readonly #seen = new Map<string, number>();
  /** The greatest fencing token by run: a company that compares them refuses those of workers that have been replaced. */
  readonly #tokens = new Map<string, number>();
  /** Run and call of what was taken back, whether or not it had been done. */
  readonly #takenBack = new Set<string>();
  /** What is left of each call, in money. */
  readonly balance = new Map<string, number>();

  readonly #outage: { readonly fromMs: number; readonly untilMs: number };

  /** @param outage when the other company answers with errors, by the clock of the simulation */
  constructor(
    outage: { readonly fromMs: number; readonly untilMs: number },
    onEffect: (effect: EffectOf, places: number) => void,
  ) {
    this.#outage = outage;
    this.#onEffect = onEffect;
  }

  note(effect: EffectOf & { readonly amount: number }): void {
    const { amount, ...rest } = effect;
    const places = (this.#seen.get(effect.idempotencyKey) ?? 0) + 1;
    this.#seen.set(effect.idempotencyKey, places);
    this.log.note(rest);
    if (places === 1) {
      const before = this.balance.get(effect.runId + effect.call) ?? 0;
      this.balance.set(effect.runId + effect.call, effect.what === 'done' ? before + amount : before - amount);
    }
    this.#onEffect(rest, places);
  }

  /** Whether this attempt is to fail, by the plan. */
  fails(key: string, weather: Weather): boolean {
    if (weather !== 'failing twice') return false;
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    return failures <= 2;
  }

  /** Another company, asked by a step. Its answer can get lost, and then nobody knows. */
  async ask(
    life: Life,
    network: Network,
    work: WorkOf & { readonly what: 'done' | 'compensated'; readonly weather: Weather },
    { idempotencyKey, fencingToken }: StepContext,
  ): Promise<void> {
    const { weather, ...about } = work;
    try {
      await network.call(life, 'outside', `${about.what === 'done' ? '' : 'take back '}${about.step}`, () => {
        const { runId } = about;
        const { now } = life.machine.scheduler;
        if (now >= this.#outage.fromMs && now < this.#outage.untilMs) throw new Error('out of order');
        if (fencingToken < (this.#tokens.get(runId) ?? 0)) throw new Error('a newer worker has asked');
        this.#tokens.set(runId, fencingToken);
        // As it must be with a company that requests reach late: what was taken back is not done any more.
        const place = runId + about.call;
        if (about.what === 'compensated') this.#takenBack.add(place);
        else if (this.#takenBack.has(place)) throw new Error('it was taken back');
        if (weather === 'rejected') throw new Rejection('no');
        if (this.fails(idempotencyKey, weather)) throw new Error('not now');
        // What was never done there is taken back without an effect.
        if (about.what === 'done' || (this.balance.get(place) ?? 0) > 0 || this.#seen.has(idempotencyKey))
          this.note({ ...about, kind: 'step', idempotencyKey });
      });
    } catch (error) {
      throw error instanceof Unanswered ? new Error('the other company has not answered') : error;
    }
  }
}
