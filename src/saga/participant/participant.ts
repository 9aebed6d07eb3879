/**
 * A participant: the side of sagas that answers commands. A consumer whose handlers answer: inbox mark, effect, the record of the call
 * and the reply commit together. The public door for services that take part in sagas of others.
 */
import type { PoolClient } from 'pg';
import { HoldfastError } from '../../errors.ts';
import { consumer, type Consumer } from '../../inbox/consumer.ts';
import {
  KNOWN_OPTIONS,
  type CommonConsumerOptions,
  type DatabaseConsumerOptions,
  type RunnerConsumerOptions,
} from '../../inbox/consumer-options.ts';
import { on, type Handler } from '../../inbox/handlers/handler.ts';
import { isPgClient, lend } from '../../postgres/lent-client.ts';
import { DEFAULT_RETENTION } from '../../inbox/delivery/retention.ts';
import { payloadText } from '../../message/decode.ts';
import type { MessageType } from '../../message/message-type.ts';
import { assertTopic } from '../../message/topic-pattern.ts';
import { createOutbox } from '../../outbox/outbox.ts';
import { DEFAULT_MAX_BYTES } from '../../outbox/prepare.ts';
import { toExecutor, type Row, type SqlExecutor, type TransactionHandle } from '../../postgres/executor.ts';
import { DEFAULT_SCHEMA } from '../../postgres/quoting.ts';
import { systemClock } from '../../runtime/clock.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import { createLoop } from '../../runtime/loop.ts';
import { safeLogger, safeMetrics } from '../../runtime/observers.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { handleFor, type Handle, type ParticipantHandler } from './handle.ts';
import { createParticipantStore, type ParticipantStore } from './participant-store.ts';
import { answerMessage, type Lent, type Participation, type Received } from './participant-work.ts';
import { badDefinition } from '../definition/step-checks.ts';
import { DEFAULT_REPLY_TOPIC } from '../protocol/wire.ts';

/** Handlers as a list, or as a function that is given `handle` for the transactions of this participant. */
export type ParticipantHandlers<Tx> =
  | readonly ParticipantHandler<Tx>[]
  | ((handle: Handle<Tx>) => readonly ParticipantHandler<Tx>[]);

interface OwnOptions<Tx> {
  readonly handlers: ParticipantHandlers<Tx>;
  /**
   * How long the record of a command that was done, and of its compensation, is kept; default '365d'. Must exceed the longest time that a
   * run may lie between a command and its compensation. What had no effect is kept for `retention`, as the inbox is.
   */
  readonly callRetention?: Duration | undefined;
  /**
   * Topics that replies may go to; default ['saga.reply']. A message that asks for its reply elsewhere is parked, and its handler is not
   * run: it would have this participant write there with its own rights.
   */
  readonly replyTopics?: readonly string[] | undefined;
}

/** Those of a consumer; without `outbox`, one on the same schema is made. */
export interface DatabaseParticipantOptions
  extends Omit<CommonConsumerOptions, 'window'>, Pick<DatabaseConsumerOptions, 'database'>, OwnOptions<PoolClient> {}

export interface RunnerParticipantOptions<Tx>
  extends Omit<CommonConsumerOptions, 'window'>, Pick<RunnerConsumerOptions<Tx>, 'runner' | 'schema'>, OwnOptions<Tx> {}

/** `tickPrune` prunes the records of calls as well. */
export type Participant = Consumer;

const DEFAULT_CALL_RETENTION = '365d';
/** Rows per transaction, as the inbox is pruned. */
const CHUNK = 1_000;
const PRUNE_AGAIN_MS = 60_000;

/**
 * A participant with a name of its own: inbox, parked messages and the records of calls are kept under it, so never rename one lightly.
 * Opens nothing before `start`.
 * @throws HoldfastError HF_SAGA_DEFINITION, HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION; `start` rejects as a consumer's
 */
export function participant(name: string, options: DatabaseParticipantOptions): Participant;
/** With a runner, write what it opens, `participant<Transaction<DB>>(…)`: a runner that is written in place does not tell it. */
export function participant<Tx>(name: string, options: RunnerParticipantOptions<Tx>): Participant;
export function participant<Tx>(
  name: string,
  options: DatabaseParticipantOptions | RunnerParticipantOptions<Tx>,
): Participant {
  const where = `participant('${name}')`;
  refuseUnknownOptions(
    options,
    [...KNOWN_OPTIONS.filter((known) => known !== 'window'), 'callRetention', 'replyTopics'],
    where,
  );
  // Which of the two it is, is of no matter from here on, but for how transactions are opened.
  return 'runner' in options
    ? assemble(name, where, options, runnerAccess(options))
    : assemble(name, where, options, databaseAccess(options));
}

/** How this participant gets at the database. */
interface Access<Tx> {
  readonly schema: string;
  readonly executorOf: (tx: Tx) => SqlExecutor;
  readonly lend: (tx: Tx) => Lent<Tx>;
  readonly transaction: <T>(fn: (execute: SqlExecutor) => Promise<T>) => Promise<T>;
  readonly consumer: (name: string, handlers: readonly Handler<Tx>[], rest: CommonConsumerOptions) => Consumer;
}

/** How long a chunk of pruning may take, in milliseconds. */
const PRUNE_TIMEOUT_MS = 30_000;

function databaseAccess({ database }: DatabaseParticipantOptions): Access<PoolClient> {
  const executorOf =
    (tx: PoolClient): SqlExecutor =>
    async (sql, parameters) =>
      (await tx.query(sql, [...parameters])).rows as readonly Row[];
  return {
    schema: database?.schema ?? DEFAULT_SCHEMA,
    executorOf,
    lend(tx) {
      const lent = lend(tx);
      return { ...lent, handle: lent.tx };
    },
    transaction: (fn) => database.transaction((client) => fn(executorOf(client)), { timeoutMs: PRUNE_TIMEOUT_MS }),
    consumer: (name, handlers, rest) => consumer(name, { ...rest, database, handlers }),
  };
}

function runnerAccess<Tx>({ runner, schema }: RunnerParticipantOptions<Tx>): Access<Tx> {
  const executorOf = (tx: Tx): SqlExecutor =>
    runner.execute === undefined
      ? toExecutor(tx as TransactionHandle)
      : async (sql, parameters) => runner.execute?.(tx, sql, parameters) ?? [];
  return {
    schema: schema ?? DEFAULT_SCHEMA,
    executorOf,
    lend(tx) {
      if (isPgClient(tx)) {
        const lent = lend(tx);
        return { ...lent, handle: runner.execute === undefined ? (lent.tx as TransactionHandle) : executorOf(lent.tx) };
      }
      // The ORM's own handle cannot be taken back; what is sent through the outbox can.
      const execute = executorOf(tx);
      let over = false;
      const handle: SqlExecutor = (sql, parameters) => (over ? Promise.reject(tooLate()) : execute(sql, parameters));
      return {
        tx,
        handle,
        trouble: () => null,
        restoreRole: () => Promise.resolve(),
        takeBack: () => (over = true),
      };
    },
    transaction: (fn) => runner.transaction((tx) => fn(executorOf(tx))),
    consumer: (name, handlers, rest) => consumer<Tx>(name, { ...rest, runner, schema, handlers }),
  };
}

function assemble<Tx>(
  name: string,
  where: string,
  options: CommonConsumerOptions & OwnOptions<Tx>,
  access: Access<Tx>,
): Participant {
  const {
    handlers: given,
    callRetention = DEFAULT_CALL_RETENTION,
    replyTopics = [DEFAULT_REPLY_TOPIC],
    ...rest
  } = options;
  checkReplyTopics(where, replyTopics);
  const list = typeof given === 'function' ? given(handleFor<Tx>()) : given;
  const handlers = checkHandlers(where, list);
  const effectMs = parseDuration(callRetention, `${where}.callRetention`);
  const briefMs = parseDuration(options.retention ?? DEFAULT_RETENTION, `${where}.retention`);
  if (effectMs < briefMs) {
    throw badDefinition(
      where,
      'keeps what it has done for a shorter time (callRetention) than its inbox (retention)',
      'Raise callRetention above the longest time that a run may wait before it is compensated.',
    );
  }
  const log = safeLogger(options.log).child({ consumer: name });
  const store = createParticipantStore(access.schema, name);
  const shared: Participation<Tx> = {
    name,
    store,
    outbox: options.outbox ?? createOutbox({ schema: access.schema }),
    handlers,
    executorOf: access.executorOf,
    lend: access.lend,
    maxBytes: DEFAULT_MAX_BYTES,
    replyTopics,
    log,
    calls: safeMetrics(options.metrics, log).counter(
      'holdfast_participant_calls_total',
      'Commands and compensations by what came of them.',
      ['participant', 'topic', 'outcome'],
    ),
  };
  const consumed = [...handlers.values()].map((handler) => consumable(shared, handler));
  const inner = access.consumer(name, consumed, { ...rest, outbox: shared.outbox });
  const pruneIntervalMs = parseDuration(options.pruneInterval ?? '10m', `${where}.pruneInterval`);
  const pruneLoop = createLoop({
    name: `${name}.calls`,
    clock: options.clock ?? systemClock,
    log,
    tick: async (signal) => {
      const pruned = await pruneCalls(store, access, { effectMs, briefMs }, signal);
      if (pruned > 0) log.info({ pruned }, 'records of calls pruned');
      return pruneIntervalMs;
    },
    onError: () => PRUNE_AGAIN_MS,
  });
  const lifecycle = createLifecycle({
    make: () => null,
    async start() {
      await inner.start();
      await pruneLoop.start();
    },
    async stop(_run, stopOptions) {
      await Promise.all([inner.stop(stopOptions), pruneLoop.stop(stopOptions)]);
    },
  });
  return {
    ...inner,
    async tickPrune() {
      await inner.tickPrune();
      await pruneLoop.tick();
    },
    start: lifecycle.start,
    stop: lifecycle.stop,
  };
}

/** The handler as a consumer takes it; there it is of kind exactly-once, which the record of the call is made for. */
function consumable<Tx>(shared: Participation<Tx>, handler: ParticipantHandler<Tx>): Handler<Tx> {
  const { type, options } = handler;
  const made = on(type, () => undefined, {
    ...(options.retry === undefined ? {} : { retry: options.retry }),
    ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
  });
  return {
    ...made,
    decode: async (envelope, wire): Promise<Received> => ({
      payload: await made.decode(envelope, wire),
      text: payloadText(envelope, wire),
    }),
    run: (received, context) => answerMessage(shared, handler, received as Received, context),
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

async function pruneCalls<Tx>(
  store: ParticipantStore,
  access: Access<Tx>,
  { effectMs, briefMs }: { readonly effectMs: number; readonly briefMs: number },
  signal: AbortSignal,
): Promise<number> {
  let total = 0;
  for (const [kind, olderThanMs] of [
    ['no effect', briefMs],
    ['effect', effectMs],
  ] as const) {
    for (let pruned = CHUNK; pruned === CHUNK && !signal.aborted;) {
      pruned = await access.transaction((execute) => store.prune(execute, kind, olderThanMs, CHUNK));
      total += pruned;
    }
  }
  return total;
}

function tooLate(): HoldfastError {
  return new HoldfastError('HF_NOT_IN_TRANSACTION', 'The handler is over, and its transaction with it.', {
    advice: 'Await all sends before the handler ends.',
  });
}
