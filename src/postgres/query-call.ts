/**
 * A call of a driver's `client.query`, in all the ways in which it can be made: what it sends, and how whoever made it is told.
 */

/** Of a text, a configuration with one, or an object that submits itself: Query, pg-cursor, pg-query-stream. */
export function statementText(statement: unknown): string | undefined {
  if (typeof statement === 'string') return statement;
  if (typeof statement !== 'object' || statement === null) return undefined;
  if ('text' in statement && typeof statement.text === 'string') return statement.text;
  return 'cursor' in statement ? statementText(statement.cursor) : undefined;
}

export function isSubmittable(statement: unknown): boolean {
  return (
    typeof statement === 'object' &&
    statement !== null &&
    'submit' in statement &&
    typeof statement.submit === 'function'
  );
}

type Callback = (error: unknown, result?: unknown) => void;

export function callbackOf(given: readonly unknown[]): Callback | null {
  const last = given.findLast((each) => typeof each === 'function');
  if (last !== undefined) return last as Callback;
  const [first] = given;
  if (typeof first === 'object' && first !== null && 'callback' in first && typeof first.callback === 'function')
    return first.callback as Callback;
  return null;
}

/** Whether it keeps something open on the connection between two answers, or has a time limit of its own: it cannot share the connection. */
export function needsConnection(statement: unknown): boolean {
  if (typeof statement !== 'object' || statement === null) return false;
  if (isSubmittable(statement)) return true;
  const { rows, query_timeout } = statement as { readonly rows?: unknown; readonly query_timeout?: unknown };
  return Boolean(rows) || Boolean(query_timeout);
}

/** In the way in which the guest asked: by throwing, by its callback, or by a promise. */
export function refuseCall(given: readonly unknown[], error: Error): unknown {
  // Whoever goes on reading from a cursor would wait for ever for a promise that is none.
  if (isSubmittable(given[0])) throw error;
  const callback = callbackOf(given);
  if (callback === null) return Promise.reject(error);
  queueMicrotask(() => callback(error));
  return undefined;
}
