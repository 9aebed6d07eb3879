/**
 * What travels between a saga and its participants: the headers of a command and of its compensation, and the reply. Documented in
 * docs/wire-format.md, so that participants can be written in any language.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { HoldfastError } from '../../errors.ts';
import { isUuid } from '../../message/id.ts';
import { message, type MessageType } from '../../message/message-type.ts';
import { isStorableText } from '../../message/text.ts';

/** Headers of commands and compensations. */
export const SAGA_HEADERS = {
  /** The run, a UUID. */
  run: 'holdfast-saga',
  /** The call within the run. Run and call together name the piece of work, whatever the message's own id. */
  call: 'holdfast-call',
  /** `command` or `compensation`. */
  role: 'holdfast-role',
  /** The topic on which the reply is expected. */
  replyTo: 'holdfast-reply-to',
  /**
   * Of compensations: what the saga knows of the command. `done`: it had the answer. `unknown` (or absent): it may never have happened.
   */
  outcome: 'holdfast-outcome',
} as const;

/** Whether a message to a participant is a command or its compensation. */
export type CallRole = 'command' | 'compensation';

/** A piece of work, as the headers of a command or a compensation name it. */
export interface SagaCall {
  readonly runId: string;
  readonly call: string;
  readonly role: CallRole;
  readonly replyTo: string;
  /** Of a compensation; null for commands. */
  readonly outcome: 'done' | 'unknown' | null;
}

/** The headers of a command or a compensation. */
export function writeSagaCall(call: SagaCall): Readonly<Record<string, string>> {
  return {
    [SAGA_HEADERS.run]: call.runId,
    [SAGA_HEADERS.call]: call.call,
    [SAGA_HEADERS.role]: call.role,
    [SAGA_HEADERS.replyTo]: call.replyTo,
    ...(call.outcome === null ? {} : { [SAGA_HEADERS.outcome]: call.outcome }),
  };
}

/** An index column of participants. */
const MAX_CALL_LENGTH = 500;

/**
 * The call that a message's headers name; null when it was not sent by a saga.
 * @throws HoldfastError HF_ENVELOPE_INVALID when they are there, but not as they must be
 */
export function readSagaCall(headers: Readonly<Record<string, string>>): SagaCall | null {
  const own = (name: string): string | undefined => (Object.hasOwn(headers, name) ? headers[name] : undefined);
  const runId = own(SAGA_HEADERS.run);
  const call = own(SAGA_HEADERS.call);
  const role = own(SAGA_HEADERS.role) ?? 'command';
  const outcome = own(SAGA_HEADERS.outcome) ?? 'unknown';
  if (runId === undefined && call === undefined) return null;
  if (!isUuid(runId)) throw invalid(SAGA_HEADERS.run, 'is not a UUID');
  if (call === undefined || call === '' || call.length > MAX_CALL_LENGTH || !isStorableText(call))
    throw invalid(SAGA_HEADERS.call, `is not a text of 1 to ${MAX_CALL_LENGTH} characters`);
  if (role !== 'command' && role !== 'compensation') throw invalid(SAGA_HEADERS.role, 'is not command or compensation');
  if (outcome !== 'done' && outcome !== 'unknown') throw invalid(SAGA_HEADERS.outcome, 'is not done or unknown');
  return {
    runId: runId.toLowerCase(),
    call,
    role,
    replyTo: own(SAGA_HEADERS.replyTo) ?? DEFAULT_REPLY_TOPIC,
    outcome: role === 'command' ? null : outcome,
  };
}

/** The same text for headers that name the same call, whether or not they are as they must be; null: they name none. */
export function callKey(headers: Readonly<Record<string, string>>): string | null {
  if (!Object.hasOwn(headers, SAGA_HEADERS.run)) return null;
  const run = headers[SAGA_HEADERS.run] ?? '';
  return `${run.toLowerCase()}:${Object.hasOwn(headers, SAGA_HEADERS.call) ? (headers[SAGA_HEADERS.call] ?? '') : ''}`;
}

function invalid(header: string, what: string): HoldfastError {
  return new HoldfastError('HF_ENVELOPE_INVALID', `The header ${header} ${what}.`, {
    advice: 'docs/wire-format.md says what the headers of commands are.',
    details: { header },
  });
}

/** The topic of replies unless a worker is given another one: route it to where the workers listen. */
export const DEFAULT_REPLY_TOPIC = 'saga.reply';

/** The reply to a command or a compensation. */
export interface SagaReply {
  readonly runId: string;
  readonly call: string;
  readonly to: CallRole;
  /** rejected: a definite no, and nothing has happened. */
  readonly outcome: 'done' | 'rejected';
  /** Payload of the reply type, in this version of it. */
  readonly output?: unknown;
  readonly outputVersion?: number | undefined;
  readonly error?: ReplyError | undefined;
}

/** Why a participant said no. */
export interface ReplyError {
  readonly name: string;
  readonly message: string;
  readonly code?: string | undefined;
  readonly details?: Record<string, unknown> | undefined;
}

/** What a property must be, and how that is said. */
type Rules<Of> = Readonly<Record<keyof Of, readonly [fits: (value: unknown) => boolean, must: string]>>;

const isText = (value: unknown): boolean => typeof value === 'string';
const isRecord = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
const orNone =
  (fits: (value: unknown) => boolean) =>
  (value: unknown): boolean =>
    value === undefined || fits(value);

const ERROR: Rules<ReplyError> = {
  name: [isText, 'must be a text'],
  message: [isText, 'must be a text'],
  code: [orNone(isText), 'must be a text'],
  details: [orNone(isRecord), 'must be an object'],
};
const REPLY: Rules<SagaReply> = {
  runId: [isUuid, 'must be a UUID'],
  call: [(value) => isText(value) && value !== '', 'must be a text that is not empty'],
  to: [(value) => value === 'command' || value === 'compensation', "must be 'command' or 'compensation'"],
  outcome: [(value) => value === 'done' || value === 'rejected', "must be 'done' or 'rejected'"],
  output: [() => true, ''],
  outputVersion: [
    orNone((value) => Number.isSafeInteger(value) && Number(value) >= 1),
    'must be a whole number from 1',
  ],
  error: [orNone(isRecord), 'must be an object'],
};

type Issue = StandardSchemaV1.Issue;

/** The properties that have a rule and are there; what breaks its rule goes to `issues`. */
function keep<Of>(given: object, rules: Rules<Of>, issues: Issue[], under: readonly string[] = []): Partial<Of> {
  const kept: Partial<Record<keyof Of, unknown>> = {};
  for (const name of Object.keys(rules) as (keyof Of & string)[]) {
    const value: unknown = Object.hasOwn(given, name) ? (given as Partial<Of>)[name] : undefined;
    const [fits, must] = rules[name];
    if (!fits(value)) issues.push({ message: must, path: [...under, name] });
    if (value !== undefined) kept[name] = value;
  }
  return kept as Partial<Of>;
}

function readReply(given: unknown): StandardSchemaV1.Result<SagaReply> {
  if (typeof given !== 'object' || given === null) return { issues: [{ message: 'must be an object' }] };
  const issues: Issue[] = [];
  const reply = keep(given, REPLY, issues) as SagaReply;
  if (issues.length === 0 && reply.error !== undefined) {
    const error = keep(reply.error, ERROR, issues, ['error']) as ReplyError;
    if (issues.length === 0) return { value: { ...reply, error } };
  }
  return issues.length === 0 ? { value: reply } : { issues };
}

/** By hand, so that a library of schemas is loaded only by those who have chosen one. */
const schema: StandardSchemaV1<SagaReply> = {
  '~standard': { version: 1, vendor: 'holdfast', validate: readReply },
};

/** The reply to a command or a compensation, on the given topic. Ordered by run. */
export const sagaReply = (topic: string = DEFAULT_REPLY_TOPIC): MessageType<string, SagaReply, SagaReply> =>
  message(topic, { schema, key: (reply) => reply.runId, numbers: 'text' });
