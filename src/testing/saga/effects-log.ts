/**
 * What the steps of a saga under test were asked to do, and what came of it: every attempt, and every effect by its idempotency key, as
 * the other side would see it. Filled by step-scripts.ts and scripted-participants.ts; shown to tests, and judged by check-run.ts.
 */
import type { CallKind } from '../../saga/definition/kind-names.ts';

/** One attempt of a step or of a compensation. */
export interface TestCall {
  readonly runId: string;
  readonly saga: string;
  /** Declared name of the step. */
  readonly step: string;
  /** Id of the call in its run: `charge`, `reserve:line-2`. */
  readonly call: string;
  readonly of: 'run' | 'compensation';
  readonly kind: CallKind;
  readonly attempt: number;
  readonly idempotencyKey: string;
  readonly input: unknown;
  /** `open`: under way, hanging, or never answered. */
  readonly outcome: 'open' | 'done' | 'failed';
  readonly error: unknown;
}

/** Something that happened in the world outside; what happens again under the same key is the same effect. */
export interface TestEffect {
  /** `charge`, or `compensate charge`. */
  readonly name: string;
  readonly runId: string;
  readonly saga: string;
  readonly step: string;
  readonly call: string;
  readonly kind: CallKind;
  readonly what: 'done' | 'compensated';
  readonly idempotencyKey: string;
  /** Its places among everything that happened, oldest first: more than one when it was asked for again. */
  readonly places: readonly number[];
}

export type EffectOf = Pick<TestEffect, 'runId' | 'saga' | 'step' | 'call' | 'kind' | 'what' | 'idempotencyKey'>;

export interface EffectsLog {
  readonly calls: readonly TestCall[];
  /** In the order in which they first happened. */
  readonly effects: readonly TestEffect[];
  /** Attempts that have begun and not ended, except for those that hang on purpose. */
  readonly underWay: ReadonlySet<TestCall>;
  /** Notes the beginning of an attempt. */
  begin(call: Omit<TestCall, 'outcome' | 'error'>): OpenCall;
  note(effect: EffectOf): void;
}

export interface OpenCall {
  readonly call: TestCall;
  /** It will not end by itself, and nobody is to wait for it. */
  hang(): void;
  end(outcome: 'done' | 'failed', error?: unknown): void;
}

/** @param onChange told whenever anything is noted */
export function createEffectsLog(onChange: () => void): EffectsLog {
  const calls: TestCall[] = [];
  const effects = new Map<string, TestEffect & { readonly places: number[] }>();
  const underWay = new Set<TestCall>();
  let happened = 0;
  return {
    calls,
    get effects() {
      return [...effects.values()].map((effect) => ({ ...effect, places: [...effect.places] }));
    },
    underWay,
    begin(fields) {
      const call: { -readonly [Name in keyof TestCall]: TestCall[Name] } = {
        ...fields,
        outcome: 'open',
        error: undefined,
      };
      calls.push(call);
      underWay.add(call);
      onChange();
      return {
        call,
        hang: () => void underWay.delete(call),
        end(outcome, error) {
          underWay.delete(call);
          call.outcome = outcome;
          call.error = error;
          onChange();
        },
      };
    },
    note(effect) {
      const place = (happened += 1);
      const known = effects.get(effect.idempotencyKey);
      if (known !== undefined) known.places.push(place);
      else {
        const name = effect.what === 'compensated' ? `compensate ${effect.call}` : effect.call;
        effects.set(effect.idempotencyKey, { ...effect, name, places: [place] });
      }
      onChange();
    },
  };
}
