/**
 * An error as text for a column or a status: what is parked, and what ails a subscription.
 */

/** Name, code, message and causes in one line, without the stack, at most 2 kB, in text that PostgreSQL can store. Never throws. */
export function describeError(error: unknown): string {
  try {
    return described(error);
  } catch {
    // What was not thrown by code of users has not come by runtime/thrown.ts: the error that a transport gives for a message, say.
    return 'An error that cannot be described.';
  }
}

function described(error: unknown): string {
  if (error === undefined || error === null) return `thrown: ${String(error)}`;
  let text = '';
  const seen = new Set<unknown>();
  for (
    let part: unknown = error;
    part !== undefined && part !== null && !seen.has(part) && text.length <= MAX_ERROR_BYTES;
    part = part instanceof Error ? part.cause : undefined
  ) {
    seen.add(part);
    text += `${text === '' ? '' : '; caused by '}${oneLine(part)}`;
  }
  return storableText(text);
}

/** At most 2 kB of a text, with what PostgreSQL cannot store replaced. Done to its own result, it changes nothing. */
export function storableText(text: string): string {
  // Cut twice: what is far too long is not gone through.
  return cut(text.slice(0, MAX_ERROR_BYTES + 1).replace(/\p{Surrogate}|\0/gu, '\uFFFD'));
}

/** Whether it was too long for storableText, so that nothing that is added to it would be kept. */
export function isCut(text: string): boolean {
  // Four bytes fewer than the most that cutting leaves: it may have met the middle of a character.
  return text.endsWith('...') && Buffer.byteLength(text) > MAX_ERROR_BYTES - 10;
}

function oneLine(part: unknown): string {
  if (!(part instanceof Error)) return `thrown: ${safeString(part)}`;
  const has = 'code' in part && (typeof part.code === 'string' || typeof part.code === 'number');
  const code = has ? `[${String(part.code)}] ` : '';
  return `${part.name}: ${code}${part.message}${partsOf(part)}`;
}

/** What an AggregateError is made of: "All promises were rejected" alone helps nobody. */
function partsOf(error: Error): string {
  const errors: unknown = 'errors' in error ? error.errors : undefined;
  if (!Array.isArray(errors) || errors.length === 0) return '';
  const parts = errors
    .slice(0, 5)
    .map((each: unknown) => (each instanceof Error ? `${each.name}: ${each.message}` : safeString(each)));
  return ` (${parts.join('; ')}${errors.length > 5 ? `; and ${errors.length - 5} more` : ''})`;
}

/** Anything can be thrown, also what cannot be turned into text. */
function safeString(value: unknown): string {
  try {
    return typeof value === 'string' ? value : (JSON.stringify(value) ?? `a ${typeof value}`);
  } catch {
    return `a ${typeof value}`;
  }
}

const MAX_ERROR_BYTES = 2_048;

function cut(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_ERROR_BYTES) return text;
  // Cutting may split a character: its remains are replaced, so three bytes of room are left for that.
  return `${bytes
    .subarray(0, MAX_ERROR_BYTES - 6)
    .toString()
    .replace(/\uFFFD$/, '')}...`;
}
