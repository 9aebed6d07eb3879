/**
 * Matchers for vitest and jest: `expect.extend(holdfastMatchers)`. They know of neither; src/doors/vitest.ts declares them to vitest.
 */
import type { MessageType, PayloadInput } from '../../message/message-type.ts';
import type { StuckWhy } from '../../saga/journal/events.ts';
import { judgeHandled, judgeSent } from './judge-messages.ts';
import { judgeCompensated, judgeCompleted, judgeStuck } from './judge-runs.ts';
import type { MatcherVerdict } from './verdict.ts';

/** What a test expects of a payload or a result: of objects the fields that it names, of lists every item. */
export type PartOf<Value> = Value extends readonly (infer Item)[]
  ? readonly PartOf<Item>[]
  : Value extends Date | ((...args: never[]) => unknown)
    ? Value
    : Value extends object
      ? { readonly [Name in keyof Value]?: PartOf<Value[Name]> }
      : Value;

/** What `holdfastMatchers` adds to `expect(…)`. */
export interface HoldfastMatchers {
  /** Of a test of messages or of sagas: a message of this type was committed to the outbox, with at least this in its payload. */
  toHaveSent<Type extends MessageType>(type: Type, payload?: PartOf<PayloadInput<Type>>): void;
  /** The same, and so many times. */
  toHaveSentTimes<Type extends MessageType>(type: Type, times: number, payload?: PartOf<PayloadInput<Type>>): void;
  /** Of a test of messages: a consumer, or the one that is named, has handled such a message. */
  toHaveHandled<Type extends MessageType>(
    type: Type,
    payload?: PartOf<PayloadInput<Type>>,
    options?: { readonly by?: string | undefined },
  ): void;
  /** Of a run: it has completed, with at least this in its result. */
  toHaveCompleted(result?: unknown): Promise<void>;
  /** Of a run: it is compensated; of one of `testSagas` also: these calls, in this order, and no others. */
  toHaveCompensated(...calls: readonly string[]): Promise<void>;
  /** Of a run: it is stuck; of one of `testSagas` also: for this reason. */
  toBeStuck(why?: StuckWhy): Promise<void>;
}

type Matcher = (given: unknown, ...expected: never[]) => MatcherVerdict | Promise<MatcherVerdict>;

/**
 * For `expect.extend` of vitest and jest. With vitest, `import 'holdfast/vitest'` in a setup file does that and declares their types.
 *
 * @example
 * import { expect } from 'vitest';
 *
 * expect.extend(holdfastMatchers);
 */
export const holdfastMatchers = {
  toHaveSent: (given: unknown, type: MessageType, payload?: unknown) =>
    judgeSent(given, { type, payload, times: null, matcher: 'toHaveSent' }),
  toHaveSentTimes: (given: unknown, type: MessageType, times: number, payload?: unknown) =>
    judgeSent(given, { type, payload, times, matcher: 'toHaveSentTimes' }),
  toHaveHandled: (
    given: unknown,
    type: MessageType,
    payload?: unknown,
    options: { readonly by?: string | undefined } = {},
  ) => judgeHandled(given, type, payload, options.by),
  toHaveCompleted: (given: unknown, result?: unknown) => judgeCompleted(given, result),
  toHaveCompensated: (given: unknown, ...calls: readonly string[]) => judgeCompensated(given, calls),
  toBeStuck: (given: unknown, why?: StuckWhy) => judgeStuck(given, why),
} satisfies Record<keyof HoldfastMatchers, Matcher>;
