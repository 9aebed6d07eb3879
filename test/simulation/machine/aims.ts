/**
 * Misfortunes that are aimed. What goes wrong at each request by chance hits rare moments rarely: one commit in thousands is the one after
 * which a worker begins an attempt without having heard of its lease. So a seed chooses a kind of request, one of them, and what happens
 * there; how likely that is does not depend on how many other requests there are.
 */
import type { Choices, Odds } from './choices.ts';

/** Kinds of requests, by what they are called, and how likely each is chosen. */
const TARGETS: readonly (readonly [RegExp, number])[] = [
  [/^commit before a step$/, 0.2],
  [/^commit/, 0.06],
  [/^COMMIT$/, 0.05],
  [/^(claim|collect) of something$/, 0.1],
  [/^renew$/, 0.08],
  [/^(check|receipt|pack|flight|remind)$/, 0.04],
  [/^take back /, 0.04],
  [/ in a transaction$/, 0.06],
  [/^ack /, 0.04],
  [/^(publish|advance)$/, 0.03],
  [/^(start|cancel|signal)$/, 0.04],
  [/^(begin|let go|retire|held|take over|register|post reply)$/, 0.03],
];
const TARGET: Odds = TARGETS.map(([, weight]) => weight);
/** Which of them, counted from the first: dense where most seeds have as many. */
const WHICH = [1, 2, 3, 4, 5, 6, 8, 11, 16];
const EACH_OF_WHICH: Odds = WHICH.slice(1).map(() => 1 / WHICH.length);

interface Aim {
  readonly target: RegExp;
  readonly fault: number;
  left: number;
}

export class Aims {
  #aims: Aim[] = [];

  /** @param kinds how likely each kind of misfortune is, but the first, which is none */
  constructor(choices: Choices, kinds: Odds) {
    for (const name of ['first aim', 'second aim']) {
      const [target] = TARGETS[choices.choose(`${name} is at`, TARGET) - 1] ?? [];
      if (target === undefined) continue;
      const left = WHICH[choices.choose(`${name} is at the`, EACH_OF_WHICH)] ?? 1;
      this.#aims.push({ target, left, fault: choices.choose(`${name} is that it`, kinds) });
    }
  }

  /** What happens at this request; 0: nothing. */
  at(what: string): number {
    for (const aim of this.#aims) {
      if (!aim.target.test(what)) continue;
      aim.left -= 1;
      if (aim.left > 0) continue;
      this.#aims = this.#aims.filter((other) => other !== aim);
      return aim.fault;
    }
    return 0;
  }
}
