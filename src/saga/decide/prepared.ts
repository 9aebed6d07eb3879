/** What is made ready before a decision, such as a message: the thing itself, or why it cannot be made. */
export type Prepared<T> = { readonly value: T } | { readonly cause: unknown };

export function prepared<T>(making: Promise<T>): Promise<Prepared<T>> {
  return making.then(
    (value) => ({ value }),
    (cause: unknown) => ({ cause }),
  );
}
