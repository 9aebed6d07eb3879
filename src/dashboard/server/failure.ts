/**
 * What a request is told of an error. Only what was said for people is passed on: what the database says may hold SQL, names and values
 * of rows, and stays in the log.
 */
import { ERROR_CODES, HoldfastError, isHoldfastError, type ErrorCode } from '../../errors.ts';
import { classifySqlError } from '../../postgres/sql-state.ts';
import { describeFailure } from '../../runtime/describe-failure.ts';
import type { ApiFailure } from './contract.ts';

/** An error of the request itself, with the status that it is answered with. */
export class RequestRefusal extends HoldfastError {
  readonly status: number;
  /** Further headers of the answer. */
  readonly headers: Readonly<Record<string, string>>;
  /** Further facts of the answer. */
  readonly facts: Readonly<Record<string, unknown>>;
  constructor(
    status: number,
    code: ErrorCode,
    message: string,
    more: {
      readonly advice?: string;
      readonly headers?: Readonly<Record<string, string>>;
      readonly facts?: Readonly<Record<string, unknown>>;
    } = {},
  ) {
    super(code, message, { advice: more.advice });
    this.status = status;
    this.headers = more.headers ?? {};
    this.facts = more.facts ?? {};
  }
}

export interface FailureAnswer {
  readonly status: number;
  readonly body: ApiFailure & Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;
  /** Somebody should look at it: it is no fault of who asked. */
  readonly isOurs: boolean;
}

const NOT_THERE: readonly ErrorCode[] = ['HF_NOT_FOUND', 'HF_SUBSCRIPTION_UNKNOWN', 'HF_SAGA_UNKNOWN'];
const BAD_INPUT: readonly ErrorCode[] = [
  'HF_CONFIG',
  'HF_OPTION_UNKNOWN',
  'HF_DURATION',
  'HF_REQUEST',
  'HF_SIGNAL_UNKNOWN',
  'HF_PAYLOAD_INVALID',
  'HF_PAYLOAD_NOT_JSON',
  'HF_PAYLOAD_TEXT',
  'HF_PAYLOAD_TOO_LARGE',
];
/** Well said, and not possible as things stand. */
const NOT_NOW: readonly ErrorCode[] = [
  'HF_SAGA_FINISHED',
  'HF_SAGA_PIVOTED',
  'HF_SAGA_NOT_STUCK',
  'HF_SAGA_NOT_ENDED',
  'HF_SAGA_RESTARTED',
  'HF_SAGA_UNDONE',
  'HF_SIGNALS_FULL',
  'HF_SUBSCRIPTION_HELD',
  'HF_PARKED_BUSY',
  // Of jobs: another one works on it.
  'HF_LEASE_LOST',
];
/** It may be possible in a moment, or for less. */
const NOT_IN_TIME: readonly ErrorCode[] = ['HF_READ_TIMEOUT'];
const SAID_FOR_PEOPLE = new Map<ErrorCode, number>([
  ...NOT_THERE.map((code) => [code, 404] as const),
  ...BAD_INPUT.map((code) => [code, 400] as const),
  ...NOT_NOW.map((code) => [code, 409] as const),
  ...NOT_IN_TIME.map((code) => [code, 503] as const),
]);

/** Pure. */
export function failureOf(error: unknown): FailureAnswer {
  if (error instanceof RequestRefusal) {
    const { status, headers, facts } = error;
    return { status, headers, body: { ...describeFailure(error), ...facts }, isOurs: status >= 500 };
  }
  if (isHoldfastError(error)) {
    const status = SAID_FOR_PEOPLE.get(error.code);
    if (status !== undefined) {
      const isLate = status === 503;
      const headers: Readonly<Record<string, string>> = isLate ? { 'retry-after': '5' } : {};
      return { status, headers, body: { ...describeFailure(error) }, isOurs: isLate };
    }
    return ours(503, error.code, ERROR_CODES[error.code]);
  }
  if (['busy', 'conflict', 'session'].includes(classifySqlError(error))) {
    const advice = 'Narrow it by time, topic or key, and try again.';
    return { ...ours(503, 'HF_OVERLOADED', ERROR_CODES.HF_OVERLOADED, advice), headers: { 'retry-after': '5' } };
  }
  return ours(500, 'UNEXPECTED', 'Something failed that nobody foresaw.');
}

function ours(status: number, code: string, message: string, advice = LOOK): FailureAnswer {
  return { status, headers: {}, body: { code, message, advice }, isOurs: true };
}

const LOOK = 'The log of the dashboard says more.';
