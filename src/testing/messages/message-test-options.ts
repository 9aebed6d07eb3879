/** What a test of messages can be given. */
import type { CommonConsumerOptions, Handlers } from '../../inbox/consumer-options.ts';
import type { TransactionHandle } from '../../postgres/executor.ts';
import type { Route } from '../../relay/subscription/routes.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import type { Duration } from '../../runtime/duration.ts';
import type { ParticipantHandlers } from '../../saga/participant/participant-options.ts';

/** What a test takes of the options of a consumer: all but what it brings itself. */
export interface TestConsumerOptions extends Omit<
  CommonConsumerOptions,
  'transport' | 'outbox' | 'clock' | 'random' | 'crashPoint' | 'log' | 'metrics'
> {
  readonly handlers: Handlers<never>;
}

/** What a test takes of the options of a participant. */
export interface TestParticipantOptions extends Omit<TestConsumerOptions, 'handlers' | 'window'> {
  readonly handlers: ParticipantHandlers<never>;
  /** @defaultValue '365d' */
  readonly callRetention?: Duration | undefined;
  /** @defaultValue ['saga.reply'] */
  readonly replyTopics?: readonly string[] | undefined;
}

/** What every test of messages takes. */
export interface CommonMessageTestOptions {
  /** Those under test, by their names. */
  readonly consumers?: Readonly<Record<string, TestConsumerOptions>> | undefined;
  /** Those that answer the commands of sagas, by their names. */
  readonly participants?: Readonly<Record<string, TestParticipantOptions>> | undefined;
  /**
   * Which messages go to which queue, as the relay is told in production.
   *
   * @defaultValue to each consumer the topics that it has handlers for
   */
  readonly routes?: readonly Route[] | undefined;
  /**
   * How long, in real time, the test waits for handlers.
   *
   * @defaultValue '2s'; with a database '10s'
   */
  readonly settleWithin?: Duration | undefined;
  /**
   * Paths of fields that the messages of matchers do not show, as those of the log and the dashboard.
   *
   * @defaultValue none
   */
  readonly redact?: readonly string[] | undefined;
}

/** Options of {@link testMessages}. */
export interface MessageTestOptions<Tx = TransactionHandle> extends CommonMessageTestOptions {
  /** Makes the `tx` that handlers and `test.transaction` are given. Without it, whoever touches it is told that there is no database. */
  readonly transaction?: (() => Tx) | undefined;
  /** Told how each ended, within the commit itself: make its effects here, or forget them. */
  readonly endTransaction?: ((tx: Tx, outcome: 'commit' | 'rollback') => void) | undefined;
  /**
   * In [0, 1), for the jitter of retries.
   *
   * @defaultValue always 0.5
   */
  readonly random?: (() => number) | undefined;
  /**
   * Where the clock begins.
   *
   * @defaultValue 2026-01-01T00:00:00Z
   */
  readonly startAt?: Date | undefined;
}

const COMMON = ['consumers', 'participants', 'routes', 'settleWithin', 'redact'];
const BROUGHT = [
  'transport',
  'outbox',
  'clock',
  'random',
  'crashPoint',
  'log',
  'metrics',
  'database',
  'runner',
  'schema',
];

/** @throws HoldfastError HF_OPTION_UNKNOWN, HF_CONFIG */
export function checkMessageTest(options: CommonMessageTestOptions, more: readonly string[], where: string): void {
  refuseUnknownOptions(options, [...COMMON, ...more], where);
  const { consumers = {}, participants = {} } = options;
  for (const name of Object.keys(participants))
    if (Object.hasOwn(consumers, name))
      throw badOption(where, `has a consumer and a participant that are called ${name}`, 'Rename one of them.');
  for (const [name, given] of Object.entries({ ...consumers, ...participants })) {
    const own = BROUGHT.find((option) => Object.hasOwn(given, option));
    if (own !== undefined)
      throw badOption(`${where}: ${name}`, `is given ${own}, which the test brings itself`, 'Leave it away.');
  }
}
