/**
 * Sagas for the lives of a simulation. To declare them takes as long as a short life, so they are declared once, and lent: to one life at a
 * time, until nothing of its simulation happens any more.
 */
import { createRegistry, type Registry } from '../../../src/saga/definition/definition.ts';
import { sagasOf, type Sagas } from './sagas.ts';
import type { SagaSurroundings, StepHost } from './steps.ts';

export interface LentSagas {
  readonly sagas: Sagas;
  readonly registry: Registry;
}

interface Shelved extends LentSagas {
  readonly host: { surroundings: SagaSurroundings };
}

const shelf = { whole: [] as Shelved[], lost: [] as Shelved[] };

/** Those of one simulation. */
export class SagaShelf {
  readonly #lent: { readonly from: Shelved[]; readonly set: Shelved }[] = [];

  /** @param code that has lost compensations, or the whole one */
  lend(surroundings: SagaSurroundings, code: keyof typeof shelf): LentSagas {
    const from = shelf[code];
    const set = from.pop() ?? declare(surroundings, code === 'lost');
    set.host.surroundings = surroundings;
    this.#lent.push({ from, set });
    return set;
  }

  /** Nobody uses any of them any more. */
  giveBack(): void {
    for (const { from, set } of this.#lent.splice(0)) from.push(set);
  }
}

function declare(surroundings: SagaSurroundings, lost: boolean): Shelved {
  const host: { surroundings: SagaSurroundings } & StepHost = { surroundings };
  const sagas = sagasOf(host, lost);
  return { host, sagas, registry: createRegistry(Object.values(sagas), 'simulation') };
}
