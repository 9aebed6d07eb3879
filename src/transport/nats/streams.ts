/**
 * The streams: what they must be like, whether one that is there will do, and making one.
 *
 * A destination is a work queue: what is acknowledged is gone, and two consumers cannot read the same message. When it is full, new messages are
 * refused: the relay waits, and nothing old is dropped.
 */
import type { StreamConfig, StreamInfo } from '@nats-io/jetstream';
import { HoldfastError } from '../../errors.ts';
import { apiCodeOf, CODES } from './errors.ts';
import type { NatsLink } from './link.ts';
import { type DestinationNames, notesStream } from './names.ts';
import type { NatsSettings } from './options.ts';

export const NANOS_PER_MS = 1_000_000;

/** What is asked of a stream. */
export type WantedStream = Pick<
  StreamConfig,
  'name' | 'subjects' | 'retention' | 'discard' | 'storage' | 'num_replicas' | 'max_bytes' | 'duplicate_window'
> &
  Partial<StreamConfig>;

type StreamSettings = Pick<
  NatsSettings,
  'prefix' | 'replicas' | 'storage' | 'maxMessages' | 'maxBytes' | 'duplicateWindowMs'
>;

export function destinationStream({ stream, subjects }: DestinationNames, settings: StreamSettings): WantedStream {
  return {
    name: stream,
    description: 'A destination of Holdfast',
    subjects: [subjects],
    retention: 'workqueue',
    discard: 'new',
    storage: settings.storage,
    num_replicas: settings.replicas,
    max_msgs: settings.maxMessages,
    max_bytes: settings.maxBytes,
    duplicate_window: settings.duplicateWindowMs * NANOS_PER_MS,
  };
}

/** After this a note is gone. Layouts that are in use are written again before. */
export const NOTES_LAST_MS = 14 * 86_400_000;
/** Where an account asks for a limit of each stream. */
const NOTES_MAX_BYTES = 256 * 1024 * 1024;

export function notesStreamOf(settings: StreamSettings): WantedStream {
  return {
    name: notesStream(settings.prefix),
    description: 'Notes of Holdfast: layouts of destinations, and how often messages were put off',
    subjects: [`${notesStream(settings.prefix)}.>`],
    retention: 'limits',
    discard: 'old',
    storage: settings.storage,
    num_replicas: settings.replicas,
    max_bytes: settings.maxBytes < 0 ? -1 : NOTES_MAX_BYTES,
    max_msgs_per_subject: 1,
    max_age: NOTES_LAST_MS * NANOS_PER_MS,
    duplicate_window: 1000 * NANOS_PER_MS,
  };
}

/** What is wrong with a stream of that name. */
export interface StreamFaults {
  /** It would lose messages, or hand them out wrongly: nothing is published to it and nothing read. */
  readonly unusable: readonly string[];
  /** It is not as it was asked for, and does its work. */
  readonly different: readonly string[];
}

/** Holds a stream that is there, on a server of this version, against what is asked. Pure. */
export function assessStream(wanted: WantedStream, config: StreamConfig, version: string): StreamFaults {
  const unusable: string[] = [];
  const different: string[] = [];
  if (config.retention !== wanted.retention)
    unusable.push(`its retention is '${config.retention}' and not '${wanted.retention}'`);
  // Notes may be dropped by their age, and must be when there is a newer one.
  if (wanted.max_msgs_per_subject === undefined) unusable.push(...lossesOf(config, version));
  else if (config.max_msgs_per_subject !== wanted.max_msgs_per_subject)
    unusable.push(`it does not keep one message of a subject (max_msgs_per_subject: ${wanted.max_msgs_per_subject})`);
  if (config.no_ack === true) unusable.push('it does not acknowledge what is published (no_ack)');
  if (config.sealed) unusable.push('it is sealed');
  if (config.mirror !== undefined && config.mirror !== null) unusable.push('it mirrors another stream');
  for (const subject of wanted.subjects)
    if (!(config.subjects ?? []).some((own) => own === subject || own === '>' || covers(own, subject)))
      unusable.push(`it does not have the subjects ${subject}`);
  if (config.storage !== wanted.storage)
    different.push(`its storage is '${config.storage}' and not '${wanted.storage}'`);
  if (config.num_replicas < wanted.num_replicas)
    different.push(`it has ${config.num_replicas} replicas and not ${wanted.num_replicas}`);
  if ((config.duplicate_window ?? 0) < wanted.duplicate_window)
    different.push(
      `it knows ids again for ${(config.duplicate_window ?? 0) / NANOS_PER_MS} ms and not for ${wanted.duplicate_window / NANOS_PER_MS}`,
    );
  if (config.num_replicas > 1 && !keepsWhatItAcknowledged(version))
    different.push(
      `it has ${config.num_replicas} replicas on nats-server ${version}, which can lose what it has acknowledged when servers die: 2.10 and later do not`,
    );
  return { unusable, different };
}

/** By what a stream would drop messages that nobody has handled. */
function lossesOf(config: StreamConfig, version: string): readonly string[] {
  const losses: string[] = [];
  if ((config.max_bytes ?? -1) > 0 && !keepsToBytes(version))
    losses.push(
      `it has a limit in bytes (max_bytes), at which nats-server ${version} drops old messages; 2.10.5 and later do not, nor at one in messages (max_msgs)`,
    );
  const limits = (config.max_bytes ?? -1) > 0 || (config.max_msgs ?? -1) > 0;
  if (limits && config.discard !== 'new')
    losses.push(`it discards old messages when it is full (discard '${config.discard}')`);
  if ((config.max_age ?? 0) > 0) losses.push('it drops messages by their age (max_age)');
  if ((config.max_msgs_per_subject ?? -1) > 0 && !config.discard_new_per_subject)
    losses.push('it drops old messages of a subject (max_msgs_per_subject)');
  return losses;
}

/**
 * Whether a server refuses what does not fit. Before 2.10.5 it forgot to count what it needs beside a message: nearly full, it took the message
 * and then dropped the oldest.
 */
export function keepsToBytes(version: string): boolean {
  return isSince(version, [2, 10, 5]);
}

/** Whether servers of a cluster that die lose nothing: those of 2.9 were seen to (docs/guarantees.md, "Soaked on a cluster"). */
export function keepsWhatItAcknowledged(version: string): boolean {
  return isSince(version, [2, 10, 0]);
}

/** Of a version that cannot be read: false. */
function isSince(version: string, since: readonly [number, number, number]): boolean {
  const own = version.split(/[.-]/).map(Number);
  const index = since.findIndex((part, place) => own[place] !== part);
  return index === -1 || (own[index] ?? 0) > (since[index] ?? 0);
}

/** Whether a subject that ends with '>' has another one below it. */
function covers(own: string, subject: string): boolean {
  return own.endsWith('.>') && subject.startsWith(own.slice(0, -1));
}

/**
 * The stream, made when it is not there and may be.
 *
 * @throws HoldfastError HF_CONFIG when it is not there and may not be made, or will not do; anything of the broker
 */
export async function ensureStream(link: NatsLink, wanted: WantedStream, create: boolean): Promise<StreamInfo> {
  const info = (await findStream(link, wanted.name)) ?? (await makeStream(link, wanted, create));
  const { unusable } = assessStream(wanted, info.config, link.version);
  if (unusable.length === 0) return info;
  throw new HoldfastError('HF_CONFIG', `The stream ${wanted.name} cannot be used: ${unusable.join('; ')}.`, {
    advice:
      'Change it as docs/transports.md says, or remove it so that it is made anew, or give this transport another prefix.',
    details: { stream: wanted.name },
  });
}

/** Null: there is none. */
export async function findStream(link: NatsLink, name: string): Promise<StreamInfo | null> {
  try {
    return await link.api.streams.info(name);
  } catch (error) {
    if (apiCodeOf(error) === CODES.streamNotFound) return null;
    throw error;
  }
}

async function makeStream(link: NatsLink, wanted: WantedStream, create: boolean): Promise<StreamInfo> {
  if (!create)
    throw new HoldfastError(
      'HF_CONFIG',
      `There is no stream ${wanted.name}, and this transport is not to make it (create: false).`,
      {
        advice: 'Make it as docs/transports.md says.',
        details: { stream: wanted.name },
      },
    );
  try {
    return await link.api.streams.add(wanted);
  } catch (error) {
    // Somebody else was quicker, with other settings.
    if (apiCodeOf(error) === CODES.streamNameInUse) return link.api.streams.info(wanted.name);
    throw error;
  }
}
