/**
 * What is to go wrong in a saga under test: which attempt of which step fails, and how. Asked by step-scripts.ts and
 * scripted-participants.ts at each attempt.
 */
import { HoldfastError } from '../../errors.ts';
import { didYouMean } from '../../runtime/options.ts';
import type { AnySaga } from '../../saga/definition/definition.ts';
import type { StepDefinition } from '../../saga/definition/steps.ts';

/** An error to throw, or `hang`: it never ends, and so runs out of time. */
export type Failure = Error | 'hang';

/** Which attempts fail. See {@link SagaTest.failStep}. */
export interface FailOptions {
  /**
   * From this attempt on, counted from now.
   *
   * @defaultValue 1, the next one
   */
  readonly nth?: number | undefined;
  /**
   * So many attempts. Infinity: all of them.
   *
   * @defaultValue 1
   */
  readonly times?: number | undefined;
  /**
   * It fails after it has had its effect: the answer is lost.
   *
   * @defaultValue false
   */
  readonly after?: boolean | undefined;
}

export interface Planned {
  readonly failure: Failure;
  readonly after: boolean;
}

interface Rule extends Planned {
  skip: number;
  left: number;
}

export type StepPart = 'run' | 'compensation';

export interface FailPlan {
  /** @param name of a step, or `saga.step` */
  add(name: string, part: StepPart, failure: Failure, options?: FailOptions): void;
  /** What becomes of the attempt that begins now; null: nothing is planned for it. */
  take(saga: string, step: string, part: StepPart): Planned | null;
}

export function createFailPlan(sagas: readonly AnySaga[]): FailPlan {
  const rules = new Map<string, Rule[]>();
  return {
    add(name, part, failure, { nth = 1, times = 1, after = false } = {}) {
      for (const [saga, step, definition] of findSteps(sagas, name, 'failStep')) {
        if (definition.kind === 'emit' || definition.kind === 'child')
          throw new HoldfastError('HF_CONFIG', `failStep: ${name} is a step of kind ${definition.kind}.`, {
            advice:
              definition.kind === 'emit'
                ? 'What is emitted cannot fail.'
                : 'Let a step of the child saga fail instead.',
          });
        const key = `${part} ${saga}.${step}`;
        rules.set(key, [...(rules.get(key) ?? []), { failure, after, skip: nth - 1, left: times }]);
      }
    },
    take(saga, step, part) {
      const own = rules.get(`${part} ${saga}.${step}`) ?? [];
      let planned: Rule | null = null;
      for (const rule of own) {
        if (rule.skip > 0) rule.skip -= 1;
        else if (rule.left > 0 && planned === null) planned = rule;
      }
      if (planned !== null) planned.left -= 1;
      return planned;
    },
  };
}

/** The declared steps that a name means: `step` in all sagas that have it, `saga.step` in one. */
export function findSteps(
  sagas: readonly AnySaga[],
  name: string,
  where: string,
): readonly (readonly [saga: string, step: string, definition: StepDefinition])[] {
  const all = sagas.flatMap((saga) =>
    Object.entries(saga.steps).map(([step, definition]) => [saga.name, step, definition] as const),
  );
  const found = all.filter(([saga, step]) => step === name || `${saga}.${step}` === name);
  if (found.length > 0) return found;
  const names = all.flatMap(([saga, step]) => [step, `${saga}.${step}`]);
  const near = didYouMean(name, names);
  throw new HoldfastError('HF_OPTION_UNKNOWN', `${where}: no saga here has a step ${JSON.stringify(name)}.`, {
    advice: near === undefined ? `There are: ${names.join(', ') || 'none'}.` : `Did you mean ${JSON.stringify(near)}?`,
  });
}
