/**
 * The way of replies into sagas: a consumer in the sagas' database that turns each reply into a message for its run, once. Workers embed
 * it when they are given `replies`; it can also run by itself.
 */
import { HoldfastError } from '../../errors.ts';
import { systemClock } from '../../runtime/clock.ts';
import { noCrash } from '../../runtime/crash-point.ts';
import { parseDuration } from '../../runtime/duration.ts';
import type { Logger } from '../../runtime/log.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { withoutErrorTexts } from '../../runtime/quiet-log.ts';
import { safeLogger, safeMetrics } from '../../runtime/observers.ts';
import { inNoContext } from '../../runtime/scope.ts';
import { createConsumer, type Consumer } from '../../inbox/consumer.ts';
import {
  KNOWN_OPTIONS,
  resolveConcurrency,
  type CommonConsumerOptions,
  type DatabaseConsumerOptions,
} from '../../inbox/consumer-options.ts';
import { consumerMetrics } from '../../inbox/delivery/consumer-metrics.ts';
import { DEFAULT_RETENTION } from '../../inbox/delivery/retention.ts';
import { resolveSignatures } from '../../inbox/delivery/signatures.ts';
import { createUnaskedNote } from '../../inbox/delivery/unverified.ts';
import { opening } from '../../inbox/handlers/handler.ts';
import { PARK_REASONS } from '../../inbox/handlers/decide.ts';
import { createParkedDeliveryStore } from '../../inbox/stores/parked-delivery-store.ts';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { MOVES } from '../journal/events.ts';
import { encryptBody } from '../store/encrypted-values.ts';
import type { Delivery, Transport, Verdict } from '../../transport/port.ts';
import { onReply, runMessageOf } from './read-reply.ts';
import type { ReplyDoor } from './reply-door.ts';
import { ReplyGroups } from './reply-groups.ts';
import { ReplyRoute } from './reply-route.ts';
import { DEFAULT_REPLY_TOPIC, type SagaReply } from './wire.ts';

/** Options of {@link createSagaReplies}. */
export interface SagaRepliesOptions
  extends Omit<CommonConsumerOptions, 'window' | 'outbox'>, Pick<DatabaseConsumerOptions, 'database'> {
  /**
   * Queue to receive from. It is the name of the consumer as well.
   *
   * @defaultValue 'saga-replies'
   */
  readonly destination?: string | undefined;
  /**
   * The topic that commands ask for replies on.
   *
   * @defaultValue 'saga.reply'
   */
  readonly topic?: string | undefined;
}

export const DEFAULT_REPLY_DESTINATION = 'saga-replies';
/** Replies that are taken from the broker at once, unless the options say otherwise. */
const IN_HAND = 64;
/** Also of finished runs: a late reply may tell that something has to be compensated. */
const ANY_STATUS = Object.keys(MOVES);

/**
 * Opens nothing before `start`. Replies for runs that are not in this database go back to the queue for a minute (`handlerWait`), for
 * workers of a database that has them; then they are parked, and deleted after `retention`.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION, HF_MESSAGE_TYPE; `start` rejects as a consumer's
 * @example
 * const replies = createSagaReplies({ database, transport });
 * await replies.start();
 */
export function createSagaReplies(options: SagaRepliesOptions): Consumer {
  return createReplyConsumer(options, null);
}

/** As createSagaReplies. `door`: to the runs of a worker in this process; null: there is none. */
export function createReplyConsumer(options: SagaRepliesOptions, door: ReplyDoor | null): Consumer {
  const known = KNOWN_OPTIONS.filter((name) => !['window', 'outbox', 'runner', 'schema', 'handlers'].includes(name));
  refuseUnknownOptions(options, [...known, 'topic'], 'sagaReplies');
  const { destination = DEFAULT_REPLY_DESTINATION, topic = DEFAULT_REPLY_TOPIC, ...rest } = options;
  const log = withoutErrorTexts(safeLogger(options.log), options.codec !== undefined).child({ consumer: destination });
  const replies = safeMetrics(options.metrics, log).counter(
    'holdfast_saga_replies_total',
    'Replies of participants by what became of them: delivered, or stray, for each look at one whose run is not here.',
    ['outcome'],
  );
  const sql = `SELECT ${quoteIdentifier(options.database?.schema ?? 'holdfast')}.post_saga_reply($1::uuid, $2::text, $3::text[], false) AS answer`;
  const codec = options.codec ?? null;
  const bodyText = (runId: string, body: string): string =>
    codec === null ? body : encryptBody(body, codec, runId.toLowerCase());
  const handler = onReply(topic, async (reply, { tx }) => {
    const { rows } = await tx.query<{ answer: { accepted: boolean } }>(sql, [
      reply.runId,
      bodyText(reply.runId, JSON.stringify(runMessageOf(reply))),
      ANY_STATUS,
    ]);
    const delivered = rows[0]?.answer.accepted === true;
    replies.inc({ outcome: delivered ? 'delivered' : 'stray' });
    if (!delivered) throw stray(destination, reply);
  });
  /** Known from the start on: which database takes replies from the queue. */
  let owner: string | undefined;
  const { transport } = rest;
  // One key after the other, and behind what is parked of it: the consumer knows how.
  const inOrder = options.ordered === true;
  // Each member by itself: a transport of the user's own may be an object of a class.
  const own = (): Transport => ({
    kind: transport.kind,
    abilities: transport.abilities,
    address: transport.address,
    publisher: () => transport.publisher(),
    receiver: (queue, _handle, receive) =>
      transport.receiver(queue, handle, {
        ...receive,
        // What waits for a commit or a statement with others holds no connection.
        ...(inOrder || options.concurrency !== undefined
          ? {}
          : { concurrency: Math.max(receive.concurrency, IN_HAND) }),
        ...(owner === undefined ? {} : { owner }),
      }),
    close: () => transport.close(),
  });
  const inner = createConsumer(destination, {
    ...rest,
    ...(typeof transport?.receiver === 'function' ? { transport: own() } : {}),
    destination,
    handlers: [handler],
  });
  const { messages, signatures: checked } = consumerMetrics(safeMetrics(options.metrics, log));
  const retentionMs = parseDuration(options.retention ?? DEFAULT_RETENTION, 'sagaReplies.retention');
  const signatures = resolveSignatures(options.signatures, { destination, retentionMs }, 'sagaReplies');
  const noteUnasked = createUnaskedNote({ consumer: destination, counter: checked, log });
  const clock = options.clock ?? systemClock;
  const crash = options.crashPoint ?? noCrash;
  const route = new ReplyRoute({
    handler: opening(handler, codec),
    door,
    groups: new ReplyGroups({ database: options.database, consumer: destination, bodyText, crash, log }),
    crash,
    by: { name: destination, destination },
    // What is not, goes the consumer's own way, which parks it or, while signatures are not required, takes it.
    isSigned: signatures === null ? null : (wire) => signatures.check(wire, clock.now()) === null,
    handle: (delivery) => inner.handle(delivery),
    alone: resolveConcurrency(destination, options.concurrency, options.database, safeLogger(undefined)),
    onTaken(outcome, wire) {
      if (outcome === 'handled') replies.inc({ outcome: 'delivered' });
      messages.inc({ consumer: destination, topic, outcome });
      if (signatures === null) noteUnasked(wire);
      else checked.inc({ consumer: destination, result: 'right' });
    },
  });
  // Not in the context of the broker's client, or of who sends in the same process.
  const handle = (delivery: Delivery): Promise<Verdict> =>
    inNoContext(() => (inOrder ? inner.handle(delivery) : route.handle(delivery)));
  const lifecycle = createLifecycle({
    make: () => null,
    async start() {
      owner ??= await ownerOf(options.database);
      await inner.start();
      await tellOfStrays(options.database, destination, log);
    },
    stop: (_run, stopOptions) => inner.stop(stopOptions),
  });
  return { ...inner, handle, start: lifecycle.start, stop: lifecycle.stop };
}

/** The same for all workers of one database and schema, and for no others'. Undefined where it may not be asked. */
async function ownerOf(database: Database): Promise<string | undefined> {
  const sql = `SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || oid::text AS owner
    FROM pg_database WHERE datname = current_database()`;
  const found = await database.query<{ owner: string }>(sql).catch(() => null);
  const [row] = found?.rows ?? [];
  return row === undefined ? undefined : `${row.owner}/${database.schema}`;
}

/** Whoever starts a worker is told that replies for others wait here: most likely two databases share the queue. */
async function tellOfStrays(database: Database, queue: string, log: Logger): Promise<void> {
  const strays = createParkedDeliveryStore(database.schema, queue);
  const { messages } = await strays
    .sizeFor(async (sql, parameters) => (await database.query(sql, [...parameters])).rows, PARK_REASONS.noRun)
    .catch(() => ({ messages: 0 }));
  if (messages > 0)
    log.error(
      { code: 'HF_REPLY_STRAY', queue, parked: messages },
      'replies for runs that are not in this database are parked: do workers of another database read the same reply queue?',
    );
}

/** It goes back for a worker of another database, is parked when none takes it, and pruned as marks are; see the inbox. */
function stray(queue: string, { runId, call, to }: SagaReply): HoldfastError {
  return new HoldfastError('HF_REPLY_STRAY', `The run ${runId} is not in this database.`, {
    advice: `If workers of another database read ${queue} as well, give each a reply queue and topic of its own. If the run was pruned, discard the reply.`,
    details: { runId, call, to },
  });
}
