/**
 * Which errors are those of code, and speak of nobody else: not of a database, a broker or the network. Pure.
 */

/** What JavaScript throws by itself when code is wrong, a value is not what it seemed, or a stack runs over. */
const DEFECTS: ReadonlySet<string> = new Set([
  'TypeError',
  'RangeError',
  'ReferenceError',
  'SyntaxError',
  'URIError',
  'EvalError',
  'AssertionError',
]);

/**
 * The name of its class, or null for any other error. By name, since there are errors of other realms. Never throws.
 * @param names of the classes that count; default: all that JavaScript throws by itself
 */
export function defectOf(error: unknown, names: ReadonlySet<string> = DEFECTS): string | null {
  try {
    if (typeof error !== 'object' || error === null) return null;
    const { constructor, cause } = error as { readonly constructor?: unknown; readonly cause?: unknown };
    const name = typeof constructor === 'function' ? constructor.name : '';
    if (!names.has(name)) return null;
    // `fetch failed` is a TypeError, whose cause is the network.
    return cause === undefined || cause === null || defectOf(cause, names) !== null ? name : null;
  } catch {
    // Getters and proxies may do anything.
    return null;
  }
}
