/**
 * What really happened, noted outside of what is simulated: effects in the databases of services, and what another company's interface was
 * asked to do. It knows nothing of journals.
 */
import { createEffectsLog, type EffectOf } from '../../../src/testing/saga/effects-log.ts';

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
  /** What is left of each call, in money. */
  readonly balance = new Map<string, number>();

  constructor(onEffect: (effect: EffectOf, places: number) => void) {
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

  /** Whether something is left of a run's call. */
  isDone(place: string): boolean {
    return (this.balance.get(place) ?? 0) > 0;
  }

  /** Whether anything has happened under the key. */
  has(idempotencyKey: string): boolean {
    return this.#seen.has(idempotencyKey);
  }

  /** Whether this attempt is to fail, where the first ones do. */
  fails(key: string, times: number): boolean {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    return failures <= times;
  }
}
