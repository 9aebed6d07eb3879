/**
 * Flags over environment over configuration file over defaults: what the worker is to do.
 */
import { HoldfastError } from '../../errors.ts';
import type { HoldfastConfig } from '../../operations/config.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { PayloadCodec } from '../../message/codec.ts';
import type { SignaturesOptions } from '../../message/signing.ts';
import type { Transport } from '../../transport/port.ts';
import type { Given } from './options.ts';
import { codecOf, signaturesOf } from './secret-keys.ts';
import { sagasConfigOf, sagasPathOf } from './sagas-path.ts';
import type { Transports } from './transports.ts';

export interface WorkerSettings {
  /** Folder or file of the sagas. */
  readonly path: string;
  readonly name?: string;
  readonly lease?: Duration;
  readonly concurrency?: number;
  readonly maxEvents?: number;
  readonly maxJournalBytes?: number;
  readonly replies?: RepliesSettings;
  readonly codec?: PayloadCodec;
}

export interface RepliesSettings {
  readonly transport: Transport;
  readonly destination?: string;
  readonly topic?: string;
  readonly signatures?: SignaturesOptions;
}

export interface WorkerInputs {
  readonly given: Given;
  readonly config: HoldfastConfig;
  readonly transports: Transports;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Everything is checked here, before anything is opened. Throws HF_CONFIG, HF_OPTION_UNKNOWN or HF_DURATION. */
export function resolveWorker({ given, config, transports, env }: WorkerInputs): WorkerSettings {
  const own = sagasConfigOf(config);
  const path = sagasPathOf(given, config);
  if (path === undefined) {
    throw new HoldfastError('HF_CONFIG', 'Nothing says where the sagas are, so the worker would run none.', {
      advice: 'Give --sagas ./sagas, HOLDFAST_SAGAS, or sagas in holdfast.config.ts.',
    });
  }
  const concurrency = given.concurrency ?? own.concurrency;
  if (concurrency !== undefined && !(Number.isInteger(concurrency) && concurrency >= 1)) {
    throw new HoldfastError('HF_CONFIG', `The concurrency is ${String(concurrency)}.`, {
      advice: 'Give a whole number from 1 on.',
    });
  }
  const lease = given.lease ?? own.lease;
  if (lease !== undefined) parseDuration(lease, 'sagas.lease');
  const name = given.workerName ?? own.name;
  const replies = resolveReplies({ given, config, transports, env });
  const codec = codecOf(config, env);
  return {
    path,
    ...(name === undefined ? {} : { name }),
    ...(lease === undefined ? {} : { lease }),
    ...(concurrency === undefined ? {} : { concurrency }),
    // Checked by the worker, before it opens anything.
    ...(own.maxEvents === undefined ? {} : { maxEvents: own.maxEvents }),
    ...(own.maxJournalBytes === undefined ? {} : { maxJournalBytes: own.maxJournalBytes }),
    ...(replies === null ? {} : { replies }),
    ...(codec === undefined ? {} : { codec }),
  };
}

/** Sagas without commands need no broker: where nothing names one, there are no replies. */
function resolveReplies({ given, config, transports, env }: WorkerInputs): RepliesSettings | null {
  const own = sagasConfigOf(config).replies;
  if (own === false && given.repliesFrom === undefined) return null;
  const wanted = own === false || own === undefined ? {} : own;
  refuseUnknownOptions(wanted, ['transport', 'destination', 'topic', 'signatures'], 'sagas.replies');
  const carrier = given.transport ?? wanted.transport ?? config.transport ?? null;
  const asked = own !== undefined || given.repliesFrom !== undefined;
  if (carrier === null && !asked && !transports.hasDefault) return null;
  const destination = given.repliesFrom ?? wanted.destination;
  const signatures = signaturesOf(wanted.signatures, env);
  return {
    transport: transports.find(carrier, 'the replies of participants'),
    ...(destination === undefined ? {} : { destination }),
    ...(wanted.topic === undefined ? {} : { topic: wanted.topic }),
    ...(signatures === undefined ? {} : { signatures }),
  };
}
