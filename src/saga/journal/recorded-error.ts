/**
 * Errors in the journal. What a step failed with is recorded once and rebuilt at every replay, so that the run's code always
 * catches the same error, whether it was just thrown or is read from the journal.
 */
import { ERROR_CODES, HoldfastError, PermanentError, Rejection, type ErrorCode } from '../../errors.ts';
import { encodePayload } from '../../message/payload.ts';
import { describeError, isCut, storableText } from '../../runtime/describe-error.ts';
import type { RecordedError } from './events.ts';

/** Most bytes of JSON that the details of a user's error may have. */
const MAX_DETAILS_BYTES = 2_048;
/** Holdfast's own are facts of known size, and rebuildError adds some to a user's. */
const MAX_OWN_DETAILS_BYTES = 2 * MAX_DETAILS_BYTES;
/** More than anything that record() leaves. */
const MAX_REDACTED_BYTES = 65_536;
const MAX_NAME_LENGTH = 100;
/** Of the stack, which tells the place. */
const MOST_FRAMES = 10;
const MAX_FRAMES_LENGTH = 1_500;
/** How deep causes are kept, how many errors of an aggregate, and how much of the message of each. */
const MOST_CAUSES = 3;
const MOST_ERRORS = 5;
const MAX_PART_LENGTH = 500;

/**
 * What is kept of anything that was thrown: name, message with those of its causes, code, HTTP status, the first frames of its stack,
 * its cause and the errors of an aggregate, and details when they are plain JSON and small. Takes what came over the wire as an error
 * as well. Never throws.
 */
export function recordError(error: unknown): RecordedError {
  try {
    return isErrorLike(error) ? record(error) : { name: 'Error', message: describeError(error) };
  } catch {
    // Getters and proxies may do anything.
    return { name: 'Error', message: 'An error that cannot be described.' };
  }
}

/** What the user's hook leaves of it; whatever it does not give back as an error is left out. */
export function redacted(
  recorded: RecordedError,
  redact: ((error: RecordedError) => RecordedError) | undefined,
): RecordedError {
  if (redact === undefined) return recorded;
  try {
    const left = redact(recorded);
    // A hook that cuts texts may leave what cannot be stored.
    if (typeof left.name === 'string' && typeof left.message === 'string')
      return JSON.parse(encodePayload(left, { maxBytes: MAX_REDACTED_BYTES, where: 'redactError' })) as RecordedError;
  } catch {
    // What should have been left out must not be recorded because the hook fails.
  }
  return { name: short(recorded.name), message: 'Left out: the redaction of errors failed.' };
}

/**
 * The error that the run's code catches. A Rejection comes back as one, with its reason; so does a PermanentError; other errors of
 * Holdfast with their code. A user's error is HF_STEP_FAILED: it is the `cause`, and its name, code, status and details are in `details`
 * as well, beside the `step`.
 */
export function rebuildError(recorded: RecordedError, step?: string): HoldfastError {
  const { name, message, code, details, status } = recorded;
  const own = { details: details ?? {}, ...(recorded.cause === undefined ? {} : { cause: asThrown(recorded.cause) }) };
  if (code === 'HF_REJECTED') {
    const reason = typeof details?.['reason'] === 'string' ? details['reason'] : message;
    return withMessage(new Rejection(reason, own), message);
  }
  if (code === 'HF_PERMANENT') return new PermanentError(message, own);
  if (isErrorCode(code)) return new HoldfastError(code, message, own);
  const who = step === undefined ? 'A step' : `Step ${step}`;
  const what = `${name}: ${code === undefined ? '' : `[${code}] `}${message}`;
  return new HoldfastError('HF_STEP_FAILED', storableText(`${who} gave up: ${what}`), {
    cause: asThrown(recorded),
    details: {
      ...details,
      ...(step === undefined ? {} : { step }),
      name,
      ...(code === undefined ? {} : { code }),
      ...(status === undefined ? {} : { status }),
    },
  });
}

/** An Error with all that was recorded of it. */
export function asThrown(recorded: RecordedError): Error {
  const { name, message, code, status, details, stack, cause, errors } = recorded;
  const error = new Error(message, cause === undefined ? undefined : { cause: asThrown(cause) });
  // Where it was rebuilt is nobody's concern.
  error.stack = `${name}: ${message}${stack === undefined ? '' : `\n${stack}`}`;
  return Object.assign(error, {
    name,
    ...(code === undefined ? {} : { code }),
    ...(status === undefined ? {} : { status }),
    ...(details === undefined ? {} : { details }),
    ...(errors === undefined ? {} : { errors: errors.map(asThrown) }),
  });
}

interface ErrorLike {
  readonly name?: unknown;
  readonly message: string;
  readonly code?: unknown;
  readonly status?: unknown;
  readonly statusCode?: unknown;
  readonly response?: unknown;
  readonly stack?: unknown;
  readonly details?: unknown;
  readonly cause?: unknown;
  readonly errors?: unknown;
}

/** By its shape: there are errors of other realms, and those that were JSON on their way. */
function isErrorLike(value: unknown): value is ErrorLike {
  return typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string';
}

function record(error: ErrorLike): RecordedError {
  const identity = identityOf(error);
  const details = detailsOf(error, identity.code);
  const cause = causeOf(error, MOST_CAUSES, new Set([error]));
  const stack = framesOf(error, identity.code);
  const errors = errorsOf(error);
  return {
    ...identity,
    message: storableText(messageOf(error)),
    ...(details === undefined ? {} : { details }),
    ...(stack === undefined ? {} : { stack }),
    ...(cause === undefined ? {} : { cause }),
    ...(errors === undefined ? {} : { errors }),
  };
}

/** What errors are told apart by. */
function identityOf(error: ErrorLike): Pick<RecordedError, 'name' | 'code' | 'status'> {
  const { code } = error;
  const kept =
    typeof code === 'string' ? short(code) : typeof code === 'number' && Number.isFinite(code) ? code : undefined;
  const status = statusOf(error);
  return {
    name: typeof error.name === 'string' && error.name !== '' ? short(error.name) : 'Error',
    ...(kept === undefined ? {} : { code: kept }),
    ...(status === undefined ? {} : { status }),
  };
}

/** As fetch wrappers, axios, got, undici and most SDKs have it. */
function statusOf({ status, statusCode, response }: ErrorLike): number | undefined {
  const answer = typeof response === 'object' && response !== null ? (response as Record<string, unknown>) : {};
  return [status, statusCode, answer['status'], answer['statusCode']].find(
    (each): each is number => typeof each === 'number' && Number.isInteger(each) && each >= 100 && each <= 599,
  );
}

/** The frames alone: what stands above them is told already. Of what Holdfast says itself, or somebody meant, the place is of no use. */
function framesOf({ stack }: ErrorLike, code: string | number | undefined): string | undefined {
  if (typeof stack !== 'string' || code === 'HF_REJECTED' || String(code).startsWith('HF_STEP')) return undefined;
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line));
  const text = storableText(frames.slice(0, MOST_FRAMES).join('\n').slice(0, MAX_FRAMES_LENGTH));
  return text === '' ? undefined : text;
}

/** A cause, or one error of an aggregate: without details, and briefly. */
function part(error: unknown, depth: number, seen: Set<unknown>): RecordedError {
  if (!isErrorLike(error)) return { name: 'Error', message: brief(describeError(error)) };
  seen.add(error);
  const identity = identityOf(error);
  const cause = causeOf(error, depth, seen);
  const stack = depth === MOST_CAUSES - 1 ? framesOf(error, identity.code) : undefined;
  return {
    ...identity,
    message: brief(error.message),
    ...(stack === undefined ? {} : { stack }),
    ...(cause === undefined ? {} : { cause }),
  };
}

function causeOf({ cause }: ErrorLike, depth: number, seen: Set<unknown>): RecordedError | undefined {
  if (cause === undefined || cause === null || depth === 0 || seen.has(cause)) return undefined;
  return part(cause, depth - 1, seen);
}

function errorsOf({ errors }: ErrorLike): readonly RecordedError[] | undefined {
  if (!Array.isArray(errors) || errors.length === 0) return undefined;
  return errors.slice(0, MOST_ERRORS).map((each: unknown) => part(each, 0, new Set()));
}

function brief(text: string): string {
  // Not in the midst of a pair: what replaces half of one would not be found again in the message that tells it whole.
  return storableText(text.slice(0, MAX_PART_LENGTH).replace(/[\uD800-\uDBFF]$/, ''));
}

/** With the causes, because "fetch failed" alone helps nobody, and with what an aggregate is made of. */
function messageOf(error: ErrorLike): string {
  let { message } = error;
  if (Array.isArray(error.errors) && error.errors.length > 0) {
    const parts = error.errors
      .slice(0, MOST_ERRORS)
      .map(describeError)
      .filter((each) => !message.includes(each));
    const more = error.errors.length > MOST_ERRORS ? `; and ${error.errors.length - MOST_ERRORS} more` : '';
    // Node's AggregateError of a refused connection has no message of its own.
    if (parts.length > 0) message = `${message === '' ? '' : `${message}: `}${parts.join('; ')}${more}`;
  }
  const { cause } = error;
  if (cause === undefined || cause === null || cause === error) return message;
  // An error that was rebuilt tells its cause in its own message, or had no room for it.
  if (error.code === 'HF_STEP_FAILED' || isCut(message)) return message;
  if (isErrorLike(cause) && tells(message, cause.message)) return message;
  return `${message}; caused by ${describeError(cause)}`;
}

function tells(message: string, cause: string): boolean {
  return cause === '' ? message.includes('; caused by ') : message.includes(cause);
}

function detailsOf(error: ErrorLike, code: string | number | undefined): RecordedError['details'] {
  const { details } = error;
  const own = isErrorCode(code);
  if (typeof details === 'object' && details !== null && !Array.isArray(details)) {
    try {
      const maxBytes = own ? MAX_OWN_DETAILS_BYTES : MAX_DETAILS_BYTES;
      const text = encodePayload(details, { maxBytes, where: 'details' });
      return text === '{}' ? undefined : (JSON.parse(text) as Readonly<Record<string, unknown>>);
    } catch {
      // Left out, but for what code tells refusals apart by.
    }
    const { reason } = details as { readonly reason?: unknown };
    if (code === 'HF_REJECTED' && typeof reason === 'string') return { reason: storableText(reason) };
  }
  return undefined;
}

function isErrorCode(code: string | number | undefined): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code);
}

function short(text: string): string {
  // Cut first: what cutting tears apart is replaced after it.
  return storableText(text.slice(0, MAX_NAME_LENGTH));
}

function withMessage<E extends Error>(error: E, message: string): E {
  if (error.message !== message) error.message = message;
  return error;
}
