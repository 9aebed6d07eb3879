/**
 * What a start is checked for before anything is written.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { isUuid, messageId } from '../../message/id.ts';
import { encodePayload } from '../../message/payload.ts';
import { assertStorableText } from '../../message/text.ts';
import { validate } from '../../message/validate.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { AnySaga, Registry } from '../definition/definition.ts';
import type { StartRequest } from '../store/store.ts';

/** Options of `Sagas.start`. */
export interface StartOptions {
  /**
   * What the run is about, such as the order's id, 1 to 200 characters: a second start of this saga with this key, in whatever
   * version, starts nothing and gives the run that is there, even if it has ended.
   */
  readonly key?: string | undefined;
  /** From now, by the database's clock; then the run is compensated, unless it has passed its pivot. Default: the saga's. */
  readonly deadline?: Duration | undefined;
  /**
   * A UUID.
   *
   * @defaultValue a new one, of version 7
   */
  readonly id?: string | undefined;
}

const MAX_KEY_LENGTH = 200;

/** Rejects with HF_OPTION_UNKNOWN, HF_CONFIG, HF_KEY_EMPTY, HF_DURATION or HF_PAYLOAD_… . */
export async function startRequest(
  definition: AnySaga,
  input: unknown,
  options: StartOptions,
  maxBytes: number,
): Promise<StartRequest> {
  const { name, version } = definition;
  const where = `start of ${name}`;
  refuseUnknownOptions(options, ['key', 'deadline', 'id'], where);
  const { key, deadline, id = messageId() } = options;
  if (!isUuid(id))
    throw new HoldfastError('HF_CONFIG', `${where}: id is not a UUID.`, {
      advice: 'Leave it out for a new one; to name the run by something of yours, give a key.',
    });
  if (key !== undefined) assertShortText(key, `${where}: the key`, MAX_KEY_LENGTH);
  const deadlineMs = deadline === undefined ? definition.deadlineMs : parseDuration(deadline, `${where}: deadline`);
  return {
    id: id.toLowerCase(),
    saga: name,
    version,
    key: key ?? null,
    input: (await encodeValidated(definition.input, input, { maxBytes, where: name })) ?? '',
    deadlineMs,
  };
}

/** What the schema makes of a value, as JSON text. Undefined, where that may be missing, stays so. */
export async function encodeValidated(
  schema: AnySaga['input'],
  value: unknown,
  options: { readonly maxBytes: number; readonly where: string; readonly optional?: boolean },
): Promise<string | undefined> {
  const validated = validate(schema, value, options.where);
  const output = validated instanceof Promise ? await validated : validated.value;
  if (output === undefined && options.optional === true) return undefined;
  try {
    return encodePayload(output, options);
  } catch (error) {
    throw isHoldfastError(error, 'HF_PAYLOAD_NOT_JSON') ? madeBySchema(error, value, options) : error;
  }
}

/** What the caller gave was JSON, and its schema has made something else of it: no other value of the caller's can help. */
function madeBySchema(
  error: HoldfastError,
  given: unknown,
  options: { readonly maxBytes: number; readonly where: string },
): HoldfastError {
  try {
    encodePayload(given, { ...options, maxBytes: Infinity });
  } catch {
    return error;
  }
  return new HoldfastError('HF_PAYLOAD_NOT_JSON', `${error.message} The schema has made it; what was given is JSON.`, {
    advice:
      'What a schema gives out is recorded as JSON and read back as such. Take one that gives out JSON, such as z.iso.datetime() for ' +
      'z.coerce.date(), and make the rest of it in run: new Date(input.at).',
    details: error.details,
  });
}

/**
 * @param what names the text, such as `the key`
 * @throws HoldfastError HF_CONFIG (no text), HF_KEY_EMPTY, HF_PAYLOAD_TEXT, HF_PAYLOAD_TOO_LARGE
 */
export function assertShortText(text: unknown, what: string, maxLength: number): void {
  if (typeof text !== 'string')
    throw new HoldfastError('HF_CONFIG', `${what} is of type ${typeof text}.`, {
      advice: 'Give a text, or leave it out.',
    });
  if (text === '') throw new HoldfastError('HF_KEY_EMPTY', `${what} is empty.`, { advice: 'Leave it out for none.' });
  assertStorableText(text, what);
  if (text.length > maxLength)
    throw new HoldfastError(
      'HF_PAYLOAD_TOO_LARGE',
      `${what} has ${text.length} characters; the limit is ${maxLength}.`,
      {
        advice: 'Use an id or a hash.',
        details: { limit: maxLength },
      },
    );
}

/** A client may have been given a larger maxBytes than the workers have: what they would not take is refused to the sender. */
export function tooLargeForWorkers(where: string, limit: number): HoldfastError {
  return new HoldfastError('HF_PAYLOAD_TOO_LARGE', `${where}: the workers of it take at most ${limit} bytes of JSON.`, {
    advice: 'Give the workers the same maxBytes as the client, or store large data elsewhere and send its address.',
    details: { limit },
  });
}

/** The saga as it was registered. @throws HoldfastError HF_SAGA_UNKNOWN */
export function registered(registry: Registry, { name, version }: Pick<AnySaga, 'name' | 'version'>): AnySaga {
  const found = registry.find(name, version);
  if (found !== undefined) return found;
  const newest = registry.newest(name);
  throw new HoldfastError('HF_SAGA_UNKNOWN', `The saga ${name} is registered, but not in version ${version}.`, {
    advice: `Its newest version here is ${newest.version}: add the other one to \`sagas\`, or use that.`,
    details: { saga: name, version },
  });
}

export function isSaga(value: unknown): value is AnySaga {
  if (typeof value !== 'object' || value === null) return false;
  const { name, run, steps } = value as Partial<AnySaga>;
  return typeof name === 'string' && typeof run === 'function' && typeof steps === 'object';
}
