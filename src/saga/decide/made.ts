/** What is made ready before a decision, such as a message: the thing itself, or why it cannot be made. */
export type Made<T> = { readonly value: T } | { readonly cause: unknown };

export function made<T>(making: Promise<T>): Promise<Made<T>> {
  return making.then(
    (value) => ({ value }),
    (cause: unknown) => ({ cause }),
  );
}
