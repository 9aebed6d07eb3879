/**
 * The values of a run as they are kept when a codec is given: inputs, outputs, payloads and results, and of errors all but name and code.
 * Each is bound to the run and to its place there. What the database reads (kinds of events, calls, statuses) stays as it is. Pure.
 */
import { openText, type PayloadCodec } from '../../message/codec.ts';
import { elementsOf, membersOf, objectText } from '../../message/json-parts.ts';
import type { JournalEvent } from '../journal/events.ts';

/** Whose values they are. */
export interface RunName {
  readonly id: string;
  readonly saga: string;
}

const VALUES: ReadonlySet<string> = new Set(['input', 'output', 'outputText', 'payload', 'result']);
const ERRORS: ReadonlySet<string> = new Set(['error', 'degraded', 'fallback']);
/** What of an error says something of the values that it came of. */
const OF_ERROR = ['message', 'stack', 'cause', 'errors', 'details'] as const;
/** The member of an error in which these are kept. */
const KEPT = 'encrypted';

/** What the place of a value in an event or a run message is called. */
type Placed = (name: string) => string;

/** What runs are started with is bound to the saga alone: a person may have one started once more with the same. */
export function placeOfInput(saga: string): string {
  return `saga:${saga}:input`;
}

function placesIn(run: RunName, kind: string, about: unknown): Placed {
  if (kind === 'started') return () => placeOfInput(run.saga);
  return (name) => `run:${run.id}:${kind}:${typeof about === 'string' ? about : ''}:${name}`;
}

export function placeOfEnd(id: string, what: 'result' | 'error'): string {
  return `run:${id}:${what}`;
}

/** @param text JSON of an array of events */
export function encryptEvents(text: string, codec: PayloadCodec, run: RunName): string {
  return `[${elementsOf(text)
    .map((event) =>
      encryptMembers(event, codec, (head) => placesIn(run, String(head['t']), head['call'] ?? head['name'])),
    )
    .join(',')}]`;
}

/** @param text JSON of a RunMessageBody */
export function encryptBody(text: string, codec: PayloadCodec, runId: string): string {
  return encryptMembers(text, codec, (head) => placesOfBody(runId, head));
}

function placesOfBody(runId: string, head: Readonly<Record<string, unknown>>): Placed {
  return placesIn({ id: runId, saga: '' }, `message ${String(head['kind'])}`, head['call'] ?? head['name']);
}

function encryptMembers(
  text: string,
  codec: PayloadCodec,
  placesOf: (head: Readonly<Record<string, unknown>>) => Placed,
): string {
  const members = membersOf(text);
  if (!members.some(([name]) => VALUES.has(name) || ERRORS.has(name))) return text;
  const places = placesOf(headOf(members));
  return objectText(
    members.map(([name, value]) => {
      if (VALUES.has(name)) return [name, codec.encode(value, places(name))];
      return [name, ERRORS.has(name) ? encryptError(value, codec, places(name)) : value];
    }),
  );
}

/** The members by which a value has its place. */
function headOf(members: readonly (readonly [string, string])[]): Readonly<Record<string, unknown>> {
  const told = members.filter(([name]) => ['t', 'kind', 'call', 'name'].includes(name));
  return Object.fromEntries(told.map(([name, value]) => [name, JSON.parse(value) as unknown]));
}

/** @param text JSON of an error, or null */
export function encryptError(text: string, codec: PayloadCodec, place: string): string {
  const error = JSON.parse(text) as Readonly<Record<string, unknown>> | null;
  if (error === null) return text;
  const told = Object.entries(error).filter(([name]) => !(OF_ERROR as readonly string[]).includes(name));
  // Ids of calls, which people are told of.
  const { skipped } = (error['details'] ?? {}) as { readonly skipped?: unknown };
  if (skipped !== undefined) told.push(['details', { skipped }]);
  const head = JSON.stringify({ ...Object.fromEntries(told), message: 'encrypted' });
  return `${head.slice(0, -1)},"${KEPT}":${codec.encode(text, place)}}`;
}

/** Throws HF_PAYLOAD_ENCRYPTED. `codec` null: nothing can be opened here. */
export function openEvent(event: JournalEvent, codec: PayloadCodec | null, run: RunName): JournalEvent {
  const { t, call, name } = event as { readonly t: string; readonly call?: string; readonly name?: string };
  return openMembers(event, codec, placesIn(run, t, call ?? name));
}

/** Throws HF_PAYLOAD_ENCRYPTED. */
export function openBody<Body extends object>(body: Body, codec: PayloadCodec | null, runId: string): Body {
  return openMembers(body, codec, placesOfBody(runId, body as Readonly<Record<string, unknown>>));
}

/** The same object where nothing is to be opened. */
function openMembers<T extends object>(given: T, codec: PayloadCodec | null, places: Placed): T {
  let opened: T | null = null;
  // In place, since all events of a run that is taken up come by here, encrypted or not.
  for (const name in given) {
    const value: unknown = given[name];
    if (typeof value !== 'object' || value === null) continue;
    const isError = ERRORS.has(name);
    if (!isError && !VALUES.has(name)) continue;
    const text = isError ? textOfError(value, codec, places(name)) : openText(value, codec, places(name));
    if (text === null) continue;
    opened = { ...(opened ?? given), [name]: JSON.parse(text) as unknown };
  }
  return opened ?? given;
}

function textOfError(error: object, codec: PayloadCodec | null, place: string): string | null {
  return KEPT in error ? openText(error[KEPT], codec, place) : null;
}

/** The result or the error of a run, as it was before it was kept. Throws HF_PAYLOAD_ENCRYPTED. */
export function openEnd(value: unknown, codec: PayloadCodec | null, id: string, what: 'result' | 'error'): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const place = placeOfEnd(id, what);
  const text = what === 'error' ? textOfError(value, codec, place) : openText(value, codec, place);
  return text === null ? value : (JSON.parse(text) as unknown);
}
