/**
 * Whether a value has in it what a test expects: of objects those fields that the test names, of lists every item. Pure.
 */

/** A value that says itself what it stands for: `expect.any(String)` of vitest and jest. */
interface AsymmetricMatcher {
  asymmetricMatch(actual: unknown): boolean;
}

export function isPartOf(expected: unknown, actual: unknown): boolean {
  if (isAsymmetric(expected)) return expected.asymmetricMatch(actual);
  const wanted = asJson(expected);
  if (Array.isArray(wanted)) {
    const all: readonly unknown[] = wanted;
    return (
      Array.isArray(actual) && actual.length === all.length && all.every((each, index) => isPartOf(each, actual[index]))
    );
  }
  if (typeof wanted === 'object' && wanted !== null) {
    if (typeof actual !== 'object' || actual === null || Array.isArray(actual)) return false;
    return Object.entries(wanted).every(([name, each]) =>
      each === undefined ? !(name in actual) : isPartOf(each, (actual as Readonly<Record<string, unknown>>)[name]),
    );
  }
  return Object.is(wanted, actual);
}

/** What is expected as it can be shown beside `actual`: with the actual value wherever that will do. */
export function shownExpected(expected: unknown, actual: unknown): unknown {
  if (isAsymmetric(expected)) return expected.asymmetricMatch(actual) ? actual : nameOf(expected);
  const wanted = asJson(expected);
  if (Array.isArray(wanted))
    return wanted.map((each: unknown, index) =>
      shownExpected(each, Array.isArray(actual) ? (actual as readonly unknown[])[index] : undefined),
    );
  if (typeof wanted !== 'object' || wanted === null) return wanted;
  const given = isRecord(actual) ? actual : {};
  return Object.fromEntries(Object.entries(wanted).map(([name, each]) => [name, shownExpected(each, given[name])]));
}

/** Of what was found, that part which `expected` speaks of. */
export function shownActual(expected: unknown, actual: unknown): unknown {
  if (isAsymmetric(expected) || !isRecord(actual)) return actual;
  const wanted = asJson(expected);
  if (!isRecord(wanted)) return actual;
  return Object.fromEntries(
    Object.keys(wanted)
      .filter((name) => name in actual)
      .map((name) => [name, shownActual(wanted[name], actual[name])]),
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isAsymmetric(value: unknown): value is AsymmetricMatcher {
  return typeof (value as Partial<AsymmetricMatcher> | null | undefined)?.asymmetricMatch === 'function';
}

/** As it is in a message: a Date is a text there. */
function asJson(value: unknown): unknown {
  const { toJSON } = Object(value) as { readonly toJSON?: unknown };
  return typeof toJSON === 'function' ? (toJSON.call(value) as unknown) : value;
}

function nameOf(matcher: AsymmetricMatcher): string {
  const { toAsymmetricMatcher } = matcher as { readonly toAsymmetricMatcher?: unknown };
  return `<${typeof toAsymmetricMatcher === 'function' ? String(toAsymmetricMatcher.call(matcher)) : 'something else'}>`;
}
