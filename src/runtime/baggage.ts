/**
 * Baggage as W3C text, which travels with a message and with a run: https://www.w3.org/TR/baggage/. What does not fit is left behind:
 * baggage never costs a message.
 */
import { baggageEntryMetadataFromString, propagation, type BaggageEntry, type Context } from '@opentelemetry/api';

/** The header of a message in which it travels. */
export const BAGGAGE_HEADER = 'baggage';

/** Most characters of all of it. A message has 16 KiB for all its headers. */
const MOST_CHARACTERS = 2_048;
const MOST_ENTRIES = 64;
/** As the specification has names: a token of RFC 7230. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** The baggage of a context; null: it has none. */
export function baggageText(context: Context): string | null {
  const entries = propagation.getBaggage(context)?.getAllEntries() ?? [];
  let text = '';
  for (const [name, { value, metadata }] of entries.slice(0, MOST_ENTRIES)) {
    const encoded = encodedValue(value);
    if (!NAME.test(name) || encoded === null) continue;
    const properties = metadata?.toString() ?? '';
    const entry = `${name}=${encoded}${properties === '' ? '' : `;${properties}`}`;
    if (text.length + 1 + entry.length > MOST_CHARACTERS || !/^[\x20-\x7e]*$/.test(entry)) continue;
    text += text === '' ? entry : `,${entry}`;
  }
  return text === '' ? null : text;
}

/** The context with the baggage of such a text. What is malformed is passed over. */
export function withBaggage(context: Context, text: string): Context {
  if (text.length > 4 * MOST_CHARACTERS) return context;
  // A map: '__proto__' is a name like any other.
  const entries = new Map<string, BaggageEntry>();
  for (const part of text.split(',').slice(0, MOST_ENTRIES)) {
    const [pair = '', ...properties] = part.split(';');
    const at = pair.indexOf('=');
    const name = pair.slice(0, at).trim();
    const value = decoded(pair.slice(at + 1).trim());
    if (at <= 0 || !NAME.test(name) || value === null) continue;
    const metadata = properties.join(';').trim();
    entries.set(name, { value, ...(metadata === '' ? {} : { metadata: baggageEntryMetadataFromString(metadata) }) });
  }
  return entries.size === 0
    ? context
    : propagation.setBaggage(context, propagation.createBaggage(Object.fromEntries(entries)));
}

/** Null for half of a surrogate pair, which no text on the wire can hold. */
function encodedValue(value: string): string | null {
  try {
    return encodeURIComponent(value);
  } catch {
    return null;
  }
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
