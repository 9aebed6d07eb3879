/**
 * What matchers and assertions say: whether it is so, and in words what is there instead. Pure.
 */
import { inspect } from 'node:util';
import { HoldfastError } from '../../errors.ts';
import { describeError } from '../../runtime/describe-error.ts';
import { diffJson } from '../../runtime/json-diff.ts';
import { showAll, type Redactor } from '../../runtime/redact.ts';
import { isPartOf, shownActual, shownExpected } from './part-of.ts';

/** As `expect.extend` takes it. See {@link holdfastMatchers}. */
export interface MatcherVerdict {
  readonly pass: boolean;
  /** Why not; of one that passes, why it should not have. */
  readonly message: () => string;
}

/** Of a failure, at most so many payloads and lines. */
const MOST_SHOWN = 5;
const MOST_DIFF_LINES = 60;

export function verdict(pass: boolean, otherwise: () => string, passed: () => string): MatcherVerdict {
  return { pass, message: pass ? passed : otherwise };
}

export function timesText(count: number): string {
  if (count === 1) return 'once';
  return count === 2 ? 'twice' : `${count} times`;
}

/** How often each of these, most frequent first: `order.placed twice, order.shipped once`. */
export function countsText(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${name} ${timesText(count)}`).join(', ');
}

export function shownPayload(value: unknown, redactor: Redactor = showAll): string {
  return inspect(redactor(value), { depth: 8, breakLength: 100, maxArrayLength: 20, maxStringLength: 500 });
}

export function shownPayloads(values: readonly unknown[], redactor?: Redactor): string {
  const shown = values.slice(0, MOST_SHOWN).map((value) => `  ${indented(shownPayload(value, redactor))}`);
  const more = values.length - shown.length;
  return [...shown, ...(more > 0 ? [`  and ${more} more`] : [])].join('\n');
}

/** The difference to the one that is nearest, or nothing to compare with. */
export function nearestText(expected: unknown, found: readonly unknown[], redactor: Redactor = showAll): string {
  const diffs = found.map((actual) => {
    // What is hidden is hidden on both sides.
    const wanted = redactor(shownExpected(expected, actual));
    return diffJson(wanted, redactor(shownActual(expected, actual)));
  });
  const size = (diff: ReturnType<typeof diffJson>): number => diff.filter(({ sign }) => sign !== ' ').length;
  const [nearest] = diffs.toSorted((a, b) => size(a) - size(b));
  if (nearest === undefined) return '';
  if (size(nearest) === 0) return 'They differ in fields that `redact` hides.';
  const lines = nearest.slice(0, MOST_DIFF_LINES).map(({ sign, text }) => `  ${sign} ${text}`);
  return ['The nearest (- expected, + found):', ...lines, ...(nearest.length > lines.length ? ['  …'] : [])].join('\n');
}

export function shownError(error: unknown): string {
  if (error === null || error === undefined) return 'no error';
  const { name, message } = error as Partial<Error>;
  // As a journal has it.
  return error instanceof Error || typeof message !== 'string' ? describeError(error) : `${name}: ${message}`;
}

/** Those with this payload, or all where none is expected. */
export function withPayload<Each extends { readonly payload: unknown }>(
  all: readonly Each[],
  expected: unknown,
): readonly Each[] {
  return expected === undefined ? all : all.filter(({ payload }) => isPartOf(expected, payload));
}

export function notFor(matcher: string, needs: string): HoldfastError {
  return new HoldfastError('HF_CONFIG', `${matcher} is asked of something else than ${needs}.`, {
    advice: 'Write expect(test) for messages, and await expect(run) for runs.',
  });
}

function indented(text: string): string {
  return text.replaceAll('\n', '\n  ');
}
