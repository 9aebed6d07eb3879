/**
 * Errors in the journal. What a step failed with is recorded once and rebuilt at every replay, so that the run's code always
 * catches the same error, whether it was just thrown or is read from the journal. Used by the engine, and by clients for the
 * errors of runs.
 */
import { ERROR_CODES, HoldfastError, PermanentError, Rejection, type ErrorCode } from '../errors.ts';
import { encodePayload } from '../message/payload.ts';
import { describeError, storableText } from '../runtime/describe-error.ts';
import type { RecordedError } from './events.ts';

/** Most bytes of JSON that the details of a user's error may have. */
const MAX_DETAILS_BYTES = 2_048;
/** Holdfast's own are facts of known size, and rebuildError adds some to a user's. */
const MAX_OWN_DETAILS_BYTES = 2 * MAX_DETAILS_BYTES;
const MAX_NAME_LENGTH = 100;

/**
 * What is kept of anything that was thrown: name, message with those of its causes, code when it is a text, details when they are
 * plain JSON and small. Takes what came over the wire as an error as well. Never throws.
 */
export function recordError(error: unknown): RecordedError {
  try {
    return isErrorLike(error) ? record(error) : { name: 'Error', message: describeError(error) };
  } catch {
    // Getters and proxies may do anything.
    return { name: 'Error', message: 'An error that cannot be described.' };
  }
}

/**
 * The error that the run's code catches. A Rejection comes back as one, with its reason; so does a PermanentError; other errors of
 * Holdfast with their code. A user's error is HF_STEP_FAILED: its name, code and details are in `details`, beside the `step`.
 */
export function rebuildError(recorded: RecordedError, step?: string): HoldfastError {
  const { name, message, code, details } = recorded;
  if (code === 'HF_REJECTED') {
    const reason = typeof details?.['reason'] === 'string' ? details['reason'] : message;
    return withMessage(new Rejection(reason, { details: details ?? {} }), message);
  }
  if (code === 'HF_PERMANENT') return new PermanentError(message, { details: details ?? {} });
  if (isErrorCode(code)) return new HoldfastError(code, message, { details: details ?? {} });
  const who = step === undefined ? 'A step' : `Step ${step}`;
  const what = `${name}: ${code === undefined ? '' : `[${code}] `}${message}`;
  return new HoldfastError('HF_STEP_FAILED', storableText(`${who} gave up: ${what}`), {
    details: { ...details, ...(step === undefined ? {} : { step }), name, ...(code === undefined ? {} : { code }) },
  });
}

interface ErrorLike {
  readonly name?: unknown;
  readonly message: string;
  readonly code?: unknown;
  readonly details?: unknown;
  readonly cause?: unknown;
  readonly errors?: unknown;
}

/** By its shape: there are errors of other realms, and those that were JSON on their way. */
function isErrorLike(value: unknown): value is ErrorLike {
  return typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string';
}

function record(error: ErrorLike): RecordedError {
  const code = typeof error.code === 'string' ? short(error.code) : undefined;
  const details = detailsOf(error, code);
  return {
    name: typeof error.name === 'string' && error.name !== '' ? short(error.name) : 'Error',
    message: storableText(messageOf(error)),
    ...(code === undefined ? {} : { code }),
    ...(details === undefined ? {} : { details }),
  };
}

/** With the causes, because "fetch failed" alone helps nobody. */
function messageOf(error: ErrorLike): string {
  let { message } = error;
  // Node's AggregateError of a refused connection has no message of its own.
  if (message === '' && Array.isArray(error.errors)) message = error.errors.slice(0, 5).map(describeError).join('; ');
  const { cause } = error;
  return cause === undefined || cause === null || cause === error
    ? message
    : `${message}; caused by ${describeError(cause)}`;
}

function detailsOf(error: ErrorLike, code: string | undefined): RecordedError['details'] {
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

function isErrorCode(code: string | undefined): code is ErrorCode {
  return code !== undefined && Object.hasOwn(ERROR_CODES, code);
}

function short(text: string): string {
  // Cut first: what cutting tears apart is replaced after it.
  return storableText(text.slice(0, MAX_NAME_LENGTH));
}

function withMessage<E extends Error>(error: E, message: string): E {
  if (error.message !== message) error.message = message;
  return error;
}
