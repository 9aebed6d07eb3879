/**
 * What code of users has thrown, taken in at the door. Anything can be thrown, also what throws itself when somebody looks at it: an error
 * with a getter, a proxy that was revoked. Behind the door errors are told apart, described and logged, and none of these may fail, or a
 * message would be neither handled nor parked.
 */

/** How deep causes are looked at, and how many errors of an aggregate. */
const MOST = 5;

/** The error as it is when it can be looked at; else another one that says what could be found out. Never throws. */
export function lookable(error: unknown): unknown {
  return textOf(() => isLookable(error, MOST)) === 'true' ? error : new Error(describeHidden(error));
}

function isLookable(value: unknown, depth: number): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return true;
  const { name, message, code, stack, status, cause, errors } = value as Readonly<Record<string, unknown>>;
  if (value instanceof Error && (typeof name !== 'string' || typeof message !== 'string')) return false;
  // As all that looks at errors does.
  for (const part of [name, message, code, stack, status, 'code' in value]) String(part);
  if (depth === 0) return true;
  const parts: readonly unknown[] = Array.isArray(errors) ? errors.slice(0, MOST) : [];
  return [cause, ...parts].every((part) => isLookable(part, depth - 1));
}

function describeHidden(error: unknown): string {
  const said = textOf(() => (error as Error).message);
  return `What was thrown cannot be looked at${said === null ? '' : `, but for its message: ${said}`}`;
}

function textOf(read: () => unknown): string | null {
  try {
    return String(read());
  } catch {
    return null;
  }
}
