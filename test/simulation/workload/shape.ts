/**
 * Sagas that the seed draws: one after the other come stages, in a stage branches run beside each other, in a branch calls follow each
 * other. Each call names a step of the menu, what it is to meet outside, and whether the code catches its failure. One of the calls may be
 * a child with stages of its own; one may be a pivot, alone in its stage or beside others.
 */
import { z } from 'zod';
import type { Choices, Odds } from '../machine/choices.ts';
import {
  BACK_WEATHERS,
  VERIFY_WEATHERS,
  WEATHERS,
  type BackWeather,
  type CompanyWeather,
} from '../services/weather.ts';
import { MENU, type MenuName } from './menu.ts';

/** One call of the code. */
export const DrawnCall = z.object({
  /** Tells it from all other calls of the run and of its children. */
  id: z.string(),
  step: z.custom<MenuName | 'part'>((value) => value === 'part' || Object.hasOwn(MENU, value as string)),
  weather: z.enum(WEATHERS),
  /** What its compensation is to meet. */
  back: z.enum(BACK_WEATHERS),
  /** What asking for it is to meet. */
  asked: z.enum(VERIFY_WEATHERS),
  /** The code goes on when it has failed. */
  caught: z.boolean(),
  /** The code goes on without waiting for it. */
  alone: z.boolean(),
});
export type DrawnCall = z.infer<typeof DrawnCall>;

/** Stages, of branches, of calls. */
const Stages = z.array(z.array(z.array(DrawnCall)));
export type Stages = z.infer<typeof Stages>;

export const DrawnPlan = z.object({
  order: z.string(),
  amount: z.number(),
  stages: Stages,
  /** What its children do, by the id of the call. */
  parts: z.record(z.string(), Stages),
});
export type DrawnPlan = z.infer<typeof DrawnPlan>;

export function callsOf(stages: Stages): readonly DrawnCall[] {
  return stages.flat(2);
}

/** As the journal has it. */
export function callName({ id, step }: DrawnCall): string {
  return `${step}:${id}`;
}

const NAMES = Object.keys(MENU) as MenuName[];
const PIVOTS = NAMES.filter((name) => MENU[name].pivot);
/** The first is the most patient one, with which nothing goes wrong that is not meant to. */
const PLAIN = NAMES.filter((name) => !MENU[name].pivot);

const even = (count: number, share: number): Odds => Array.from({ length: count - 1 }, () => share / count);
const STEPS: Odds = even(PLAIN.length, 1);
const SKIES: Odds = even(WEATHERS.length, 0.5);
const BACKS: Odds = even(BACK_WEATHERS.length, 0.4);
const ASKED: Odds = even(VERIFY_WEATHERS.length, 0.5);

/** Draws what one run does; `about` names its choices. */
class Drawing {
  readonly parts: Record<string, Stages> = {};
  readonly #choices: Choices;
  readonly #about: string;
  #calls = 0;

  constructor(choices: Choices, about: string) {
    this.#choices = choices;
    this.#about = about;
  }

  /** Of a run that has no parent, with children of its own, and more often with a pivot. */
  stages(): Stages {
    return this.#withPivot(
      this.#list('stages', [0.35, 0.25, 0.08], () => this.#branches(true)),
      0.55,
    );
  }

  #withPivot(stages: Stages, share: number): Stages {
    const pivot = PIVOTS[this.#choose('pivot', even(PIVOTS.length + 1, share)) - 1];
    if (pivot === undefined) return stages;
    const place = this.#choose('place of the pivot', even(3, 0.6));
    const call = { ...this.#call(pivot), caught: false, alone: false };
    if (this.#choose('beside the pivot', [0.45]) === 0)
      return stages.toSpliced(Math.max(0, stages.length - place), 0, [[call]]);
    return stages.map((stage, index) =>
      index === Math.max(0, stages.length - 1 - place) ? [...stage, [call]] : stage,
    );
  }

  #branches(withParts: boolean): DrawnCall[][] {
    return this.#list('branches', [0.25, 0.08], () => this.#list('calls', [0.15], () => this.#drawCall(withParts)));
  }

  #drawCall(withParts: boolean): DrawnCall {
    if (!withParts || this.#choose('a child', [0.1]) === 0)
      return this.#call(PLAIN[this.#choose('step', STEPS)] ?? 'book');
    const call = { ...this.#call('part'), weather: 'fair' } as const;
    const stages = this.#list('stages of the child', [0.4], () => this.#branches(false));
    this.parts[call.id] = this.#withPivot(stages, 0.2);
    return call;
  }

  #call(step: MenuName | 'part'): DrawnCall {
    this.#calls += 1;
    const weather: CompanyWeather = WEATHERS[this.#choose('weather', SKIES)] ?? 'fair';
    const back: BackWeather = BACK_WEATHERS[this.#choose('weather of the way back', BACKS)] ?? 'fair';
    const asked = VERIFY_WEATHERS[this.#choose('weather of asking', ASKED)] ?? 'knows';
    const caught = this.#choose('is caught', [0.25]) === 1;
    return {
      id: `${this.#calls}`,
      step,
      weather,
      back,
      asked,
      caught,
      alone: this.#choose('is left alone', [0.05]) === 1,
    };
  }

  #list<T>(what: string, odds: Odds, make: () => T): T[] {
    return Array.from({ length: 1 + this.#choose(what, odds) }, make);
  }

  #choose(what: string, odds: Odds): number {
    return this.#choices.choose(`${this.#about} ${what}`, odds);
  }
}

export function drawPlan(choices: Choices, about: string, given: Pick<DrawnPlan, 'order' | 'amount'>): DrawnPlan {
  const drawing = new Drawing(choices, about);
  const stages = drawing.stages();
  return { ...given, stages, parts: drawing.parts };
}
