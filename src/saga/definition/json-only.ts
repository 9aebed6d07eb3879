/**
 * Types of values that a journal can hold. What a step gives out is recorded as JSON and read back as such, so a Date, a Map or a bigint
 * would come back as something else, or not at all: refused by the compiler, where it can see it. For declarations (steps.ts).
 */

/** The places of a value that JSON cannot carry; never: it can carry all of it, or nothing is known of it. Five levels deep: types may contain themselves. */
export type NotJson<Value, Depth extends readonly unknown[] = []> = 0 extends 1 & Value
  ? never
  : Depth['length'] extends 5
    ? never
    : unknown extends Value
      ? never
      : Value extends string | number | boolean | null | undefined | void
        ? never
        : Value extends bigint | symbol
          ? Value
          : Value extends (...given: never) => unknown
            ? Value
            : Value extends
                  | Date
                  | ReadonlyMap<unknown, unknown>
                  | ReadonlySet<unknown>
                  | RegExp
                  | Error
                  | ArrayBufferView
              ? Value
              : Value extends readonly (infer Item)[]
                ? NotJson<Item, [...Depth, 0]>
                : Value extends object
                  ? { [Key in keyof Value]-?: NotJson<Value[Key], [...Depth, 0]> }[keyof Value]
                  : never;

/** Asks nothing of what is JSON; of anything else, that nobody can give: the message stands in the error of the compiler. */
export type JsonOnly<Output> = [NotJson<Output>] extends [never]
  ? unknown
  : {
      readonly run: 'A step gives out JSON: no Date, Map, Set, bigint, function. Give date.toISOString(), [...map], String(big).';
    };
