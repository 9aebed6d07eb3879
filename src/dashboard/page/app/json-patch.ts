/**
 * What somebody changed in a JSON value, as a JSON merge patch (RFC 7396): so what they did not touch, or were not shown, stays as it is. Pure.
 */

/** The patch that makes `after` of `before`; null: no patch can, since one takes members away by saying null. */
export function patchBetween(before: unknown, after: unknown): { readonly patch: unknown } | null {
  if (!isObject(after)) return { patch: after };
  const known = isObject(before) ? before : {};
  const changes: [string, unknown][] = Object.keys(known)
    .filter((name) => !Object.hasOwn(after, name))
    .map((name) => [name, null]);
  for (const [name, value] of Object.entries(after)) {
    if (Object.hasOwn(known, name) && sameJson(known[name], value)) continue;
    const change = value === null ? null : patchBetween(known[name], value);
    if (change === null) return null;
    changes.push([name, change.patch]);
  }
  return { patch: Object.fromEntries(changes) };
}

export function sameJson(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
