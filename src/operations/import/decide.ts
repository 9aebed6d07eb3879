/**
 * What becomes of one job: a message, or it stays where it is, and why. Pure, but for the user's own function.
 */
import { v5 } from 'uuid';
import { HoldfastError } from '../../errors.ts';
import { encodePayload } from '../../message/payload.ts';
import { assertKey } from '../../message/text.ts';
import { assertTopic } from '../../message/topic-pattern.ts';
import { laneOf } from '../../outbox/lane.ts';
import type { PreparedMessage } from '../../outbox/prepare.ts';
import { checkSendOptions } from '../../outbox/send-options.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { ImportSource, SourceState } from './source.ts';

/** A row of a source, as it was read. */
export interface SourceJob {
  /** Its identity, joined by '/'. */
  readonly ref: string;
  readonly name: string;
  readonly state: SourceState;
  readonly attempts: number;
  readonly key: string | null;
  /** Milliseconds since 1970 when it is not due yet; null: at once; 'never': its time is infinite. */
  readonly dueMs: number | 'never' | null;
  /** JSON text. Null: it has more bytes than a message may have. */
  readonly payload: string | null;
  readonly bytes: number;
}

/** What the user's own function is given. */
export interface ImportedJob {
  /** Name of the queue, task or event. */
  readonly name: string;
  readonly payload: unknown;
  readonly key: string | null;
  /** How often it was tried. */
  readonly attempts: number;
  readonly ref: string;
}

/** What the user's own function makes of a job: what is left out stays as it is. */
export interface MappedJob {
  readonly topic: string;
  readonly key?: string | null | undefined;
  readonly payload?: unknown;
  readonly version?: number | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** Null: the job stays where it is. */
export type MapJob = (job: ImportedJob) => MappedJob | null | Promise<MappedJob | null>;

export interface DecideOptions {
  /** Topics by the name of the queue, task or event. */
  readonly topics: ReadonlyMap<string, string>;
  /** Names that `topics` does not have are topics themselves. */
  readonly sameNames: boolean;
  /** Instead of both. */
  readonly map?: MapJob | undefined;
  readonly maxBytes: number;
}

export type Decision =
  | { readonly kind: 'move'; readonly message: PreparedMessage }
  | { readonly kind: 'leave'; readonly why: string };

/** Never rejects: what is wrong with a job is why it stays. */
export async function decideJob(source: SourceName, job: SourceJob, options: DecideOptions): Promise<Decision> {
  if (job.payload === null) return leave(`its payload has more than ${options.maxBytes} bytes`);
  if (job.dueMs === 'never') return leave('its time is infinite');
  const payload = parsed(job.payload);
  if (payload === undefined) return leave('its payload is no JSON');
  try {
    const mapped = await mapJob(job, payload, options);
    if (mapped !== null) {
      const message = messageOf(source, { job, text: job.payload, payload, mapped }, options.maxBytes);
      return { kind: 'move', message };
    }
  } catch (error) {
    return leave(error instanceof Error ? error.message : String(error));
  }
  return leave(options.map === undefined ? 'nothing says its topic' : 'the function of --map gave null');
}

type SourceName = Pick<ImportSource, 'kind' | 'label'>;

function leave(why: string): Decision {
  return { kind: 'leave', why };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function mapJob(job: SourceJob, payload: unknown, options: DecideOptions): Promise<MappedJob | null> {
  const { name, key, attempts, ref } = job;
  if (options.map === undefined) {
    const topic = options.topics.get(name) ?? (options.sameNames ? name : undefined);
    return topic === undefined ? null : { topic };
  }
  // A copy: what the function does to it is only its answer.
  const mapped: unknown = await options.map({ name, payload: structuredClone(payload), key, attempts, ref });
  if (mapped === null) return null;
  if (typeof mapped !== 'object') {
    throw new HoldfastError('HF_CONFIG', `The function of --map gave no object but a ${typeof mapped}.`, {
      advice: 'Give { topic }, or null for a job that is to stay.',
    });
  }
  refuseUnknownOptions(mapped, ['topic', 'key', 'payload', 'version', 'headers'], 'What the function of --map gave');
  return mapped as MappedJob;
}

interface Accepted {
  readonly job: SourceJob;
  readonly text: string;
  /** What the text says. */
  readonly payload: unknown;
  readonly mapped: MappedJob;
}

const WHERE = 'import';
/** Namespace of the ids, as RFC 9562 has it. */
const NAMESPACE = '0f4f2f55-6d0e-5d0a-9a53-3a5a1d5c9a0e';

/** The same job has the same id, however often it is imported. */
export function importedId({ kind, label }: SourceName, ref: string): string {
  return v5(`${kind}:${label}/${ref}`, NAMESPACE);
}

function messageOf(source: SourceName, { job, text, payload, mapped }: Accepted, maxBytes: number): PreparedMessage {
  const { topic, version = 1, headers = {} } = mapped;
  assertTopic(topic, 'The topic');
  if (!Number.isInteger(version) || version < 1) {
    throw new HoldfastError('HF_CONFIG', `The version is ${version}.`, { advice: 'Give a whole number from 1 on.' });
  }
  const id = importedId(source, job.ref);
  const key = mapped.key === undefined ? job.key : mapped.key;
  assertKey(key, topic);
  // A payload that is taken as it is goes on as the text that it was, so that no number is altered; it is looked at all the same.
  const encoded = encodePayload(mapped.payload === undefined ? payload : mapped.payload, { maxBytes, where: topic });
  const checked = checkSendOptions(
    {
      id,
      headers: { 'imported-from': `${source.kind}:${job.name}/${job.ref}`, ...headers },
      ...(typeof job.dueMs === 'number' ? { deliverAt: new Date(job.dueMs) } : {}),
    },
    version,
    undefined,
    WHERE,
  );
  return {
    id,
    topic,
    key,
    lane: laneOf(key ?? id),
    payload: mapped.payload === undefined ? text : encoded,
    attributes: checked.attributes,
    due: checked.due,
  };
}
