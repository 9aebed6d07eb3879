/**
 * The options of a participant and their checks: handlers by topic, topics for replies, and how long the records of calls are kept.
 */
import type { PoolClient } from 'pg';
import type {
  CommonConsumerOptions,
  DatabaseConsumerOptions,
  RunnerConsumerOptions,
} from '../../inbox/consumer-options.ts';
import { DEFAULT_RETENTION } from '../../inbox/delivery/retention.ts';
import type { MessageType } from '../../message/message-type.ts';
import { assertTopic } from '../../message/topic-pattern.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { badDefinition } from '../definition/step-checks.ts';
import { DEFAULT_REPLY_TOPIC } from '../protocol/wire.ts';
import { handleFor, type Handle, type ParticipantHandler } from './handle.ts';

const DEFAULT_CALL_RETENTION = '365d';

/** Handlers as a list, or as a function that is given `handle` for the transactions of this participant. */
export type ParticipantHandlers<Tx> =
  | readonly ParticipantHandler<Tx>[]
  | ((handle: Handle<Tx>) => readonly ParticipantHandler<Tx>[]);

/** What a participant takes beside the options of a consumer. */
export interface ParticipantOwnOptions<Tx> {
  readonly handlers: ParticipantHandlers<Tx>;
  /**
   * How long the record of a command that was done, and of its compensation, is kept. Must exceed the longest time
   * that a run may lie between a command and its compensation. What had no effect is kept for `retention`, as the
   * inbox is.
   *
   * @defaultValue '365d'
   */
  readonly callRetention?: Duration | undefined;
  /**
   * Topics that replies may go to. A message that asks for its reply elsewhere is parked, and its handler is not run:
   * it would have this participant write there with its own rights.
   *
   * @defaultValue ['saga.reply']
   */
  readonly replyTopics?: readonly string[] | undefined;
}

/** Those of a consumer; without `outbox`, one on the same schema is made. */
export interface DatabaseParticipantOptions
  extends
    Omit<CommonConsumerOptions, 'window'>,
    Pick<DatabaseConsumerOptions, 'database'>,
    ParticipantOwnOptions<PoolClient> {}

/** Options of a `createParticipant` whose handlers get a transaction of your own client or ORM. */
export interface RunnerParticipantOptions<Tx>
  extends
    Omit<CommonConsumerOptions, 'window'>,
    Pick<RunnerConsumerOptions<Tx>, 'runner' | 'schema'>,
    ParticipantOwnOptions<Tx> {}

/** The options of a participant, checked. */
export interface ParticipantSettings<Tx> {
  /** Those that are the consumer's. */
  readonly consumerOptions: CommonConsumerOptions;
  /** By topic. */
  readonly handlers: ReadonlyMap<string, ParticipantHandler<Tx>>;
  readonly replyTopics: readonly string[];
  /** How long the record of a call that had an effect is kept, and of one that had none, in milliseconds. */
  readonly effectRetentionMs: number;
  readonly noEffectRetentionMs: number;
  readonly pruneIntervalMs: number;
}

/** @throws HoldfastError HF_SAGA_DEFINITION, HF_DURATION */
export function resolveParticipant<Tx>(
  where: string,
  options: CommonConsumerOptions & ParticipantOwnOptions<Tx>,
): ParticipantSettings<Tx> {
  const {
    handlers,
    callRetention = DEFAULT_CALL_RETENTION,
    replyTopics = [DEFAULT_REPLY_TOPIC],
    ...consumerOptions
  } = options;
  checkReplyTopics(where, replyTopics);
  const byTopic = checkHandlers(where, typeof handlers === 'function' ? handlers(handleFor<Tx>()) : handlers);
  const effectRetentionMs = parseDuration(callRetention, `${where}.callRetention`);
  const noEffectRetentionMs = parseDuration(options.retention ?? DEFAULT_RETENTION, `${where}.retention`);
  if (effectRetentionMs < noEffectRetentionMs) {
    throw badDefinition(
      where,
      'keeps what it has done for a shorter time (callRetention) than its inbox (retention)',
      'Raise callRetention above the longest time that a run may wait before it is compensated.',
    );
  }
  return {
    consumerOptions,
    handlers: byTopic,
    replyTopics,
    effectRetentionMs,
    noEffectRetentionMs,
    pruneIntervalMs: parseDuration(options.pruneInterval ?? '10m', `${where}.pruneInterval`),
  };
}

function checkReplyTopics(where: string, topics: readonly string[]): void {
  if (!Array.isArray(topics) || topics.length === 0)
    throw badDefinition(where, 'has no replyTopics', `Leave them away for ['${DEFAULT_REPLY_TOPIC}'].`);
  for (const topic of topics as readonly string[]) assertTopic(topic, `${where}: the reply topic`);
}

function checkHandlers<Tx>(
  where: string,
  list: readonly ParticipantHandler<Tx>[],
): ReadonlyMap<string, ParticipantHandler<Tx>> {
  if (!Array.isArray(list) || list.length === 0)
    throw badDefinition(where, 'has no handlers', 'Give handlers: [handle(Type, async (command, { tx }) => …)].');
  const byTopic = new Map<string, ParticipantHandler<Tx>>();
  for (const handler of list as readonly ParticipantHandler<Tx>[]) {
    if (typeof handler?.run !== 'function' || typeof handler.type?.keyOf !== 'function')
      throw badDefinition(
        where,
        'has a handler that was not made by handle',
        'Write handle(Type, …); on(…) belongs to consumers.',
      );
    if (byTopic.has(handler.topic))
      throw badDefinition(
        where,
        `handles ${handler.topic} twice`,
        'Leave one of them away, or make it a participant of its own.',
      );
    byTopic.set(handler.topic, handler);
  }
  const compensatedBy = new Map<string, string>();
  for (const { topic, compensates, reply } of byTopic.values()) {
    if (compensates === null) continue;
    const command = byTopic.get(compensates.topic);
    if (command === undefined || command.compensates !== null)
      throw badDefinition(
        where,
        `has ${topic}, which compensates ${compensates.topic}, but does not handle that as a command`,
        'Handle both in one participant: they meet at its record of the call.',
      );
    const twin = compensatedBy.get(compensates.topic);
    if (twin !== undefined)
      throw badDefinition(
        where,
        `has two compensations for ${compensates.topic}: ${twin} and ${topic}`,
        'Leave one of them away.',
      );
    compensatedBy.set(compensates.topic, topic);
    if (reply !== null && !sameType(reply, command.reply))
      throw badDefinition(
        where,
        `has ${topic} with the reply ${reply.topic}, but ${compensates.topic} is answered with ${command.reply?.topic ?? 'nothing'}`,
        'In a compensation, reply is the reply type of the command that it compensates.',
      );
  }
  return byTopic;
}

function sameType(one: MessageType, other: MessageType | null): boolean {
  return other !== null && one.topic === other.topic && one.version === other.version;
}
