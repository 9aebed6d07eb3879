/**
 * The way of replies into sagas: a consumer in the sagas' database that turns each reply into mail for its run, once. Workers embed
 * it when they are given `replies`; it can also run by itself.
 */
import { refuseUnknownOptions } from '../runtime/options.ts';
import { safeLogger, safeMetrics } from '../runtime/observers.ts';
import { consumer, type Consumer } from '../inbox/consumer.ts';
import { KNOWN_OPTIONS, type CommonConsumerOptions, type DatabaseConsumerOptions } from '../inbox/consumer-options.ts';
import { on } from '../inbox/handler.ts';
import { quoteIdentifier } from '../postgres/quoting.ts';
import { MOVES } from './events.ts';
import type { MailBody } from './store.ts';
import { DEFAULT_REPLY_TOPIC, sagaReply, type SagaReply } from './wire.ts';

export interface SagaRepliesOptions
  extends Omit<CommonConsumerOptions, 'window' | 'outbox'>, Pick<DatabaseConsumerOptions, 'database'> {
  /** Queue to receive from; default 'saga-replies'. It is the name of the consumer as well. */
  readonly destination?: string | undefined;
  /** The topic that commands ask for replies on; default 'saga.reply'. */
  readonly topic?: string | undefined;
}

export const DEFAULT_REPLY_DESTINATION = 'saga-replies';
/** Also of finished runs: a late reply may tell that something has to be undone. */
const ANY_STATUS = Object.keys(MOVES);

/**
 * Opens nothing before `start`. Replies for runs that are not in this database are logged, counted and dropped.
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION, HF_MESSAGE_TYPE; `start` rejects as a consumer's
 */
export function sagaReplies(options: SagaRepliesOptions): Consumer {
  const known = KNOWN_OPTIONS.filter((name) => !['window', 'outbox', 'runner', 'schema', 'handlers'].includes(name));
  refuseUnknownOptions(options, [...known, 'topic'], 'sagaReplies');
  const { destination = DEFAULT_REPLY_DESTINATION, topic = DEFAULT_REPLY_TOPIC, ...rest } = options;
  const log = safeLogger(options.log).child({ consumer: destination });
  const replies = safeMetrics(options.metrics, log).counter(
    'holdfast_saga_replies_total',
    'Replies of participants by what became of them: delivered, or dropped because there is no such run.',
    ['outcome'],
  );
  const sql = `SELECT ${quoteIdentifier(options.database?.schema ?? 'holdfast')}.post_saga_reply($1::uuid, $2::text, $3::text[], false) AS answer`;
  return consumer(destination, {
    ...rest,
    destination,
    handlers: [
      on(sagaReply(topic), async (reply, { tx, message }) => {
        const { rows } = await tx.query<{ answer: { accepted: boolean } }>(sql, [
          reply.runId,
          JSON.stringify(mailOf(reply)),
          ANY_STATUS,
        ]);
        const delivered = rows[0]?.answer.accepted === true;
        if (!delivered) {
          const { runId, call, to } = reply;
          log.warn({ id: message.id, runId, call, to }, 'a reply is for a run that is not here: it is dropped');
        }
        replies.inc({ outcome: delivered ? 'delivered' : 'dropped' });
      }),
    ],
  });
}

function mailOf({ call, to, outcome, output, outputVersion, error }: SagaReply): MailBody {
  return {
    kind: 'reply',
    call,
    to,
    outcome,
    ...(output === undefined ? {} : { output }),
    ...(outputVersion === undefined ? {} : { outputVersion }),
    ...(error === undefined
      ? {}
      : {
          error: {
            name: error.name,
            message: error.message,
            ...(error.code === undefined ? {} : { code: error.code }),
            ...(error.details === undefined ? {} : { details: error.details }),
          },
        }),
  };
}
