/**
 * The public entry point for services that take part in sagas of others. A participant is a consumer whose handlers answer: inbox mark,
 * effect, the record of the call and the reply are one commit.
 */
import type { Consumer } from '../../inbox/consumer.ts';
import { KNOWN_OPTIONS, type CommonConsumerOptions } from '../../inbox/consumer-options.ts';
import { assertEncrypts } from '../../message/clear-senders.ts';
import { createOutbox } from '../../outbox/outbox.ts';
import { preparerOf } from '../../outbox/preparer.ts';
import { DEFAULT_MAX_BYTES } from '../../outbox/prepare.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import type { Loop } from '../../runtime/loop.ts';
import { createPacedRounds, inPacedChunks } from '../../runtime/paced.ts';
import { withoutErrorTexts } from '../../runtime/quiet-log.ts';
import { safeLogger, safeMetrics } from '../../runtime/observers.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { ParticipantContext } from './answer-message.ts';
import { consumable } from './call-recording.ts';
import { participantDatabaseAccess, participantRunnerAccess, type ParticipantAccess } from './participant-access.ts';
import {
  resolveParticipant,
  type DatabaseParticipantOptions,
  type ParticipantOwnOptions,
  type ParticipantSettings,
  type RunnerParticipantOptions,
} from './participant-options.ts';

/** `tickPrune` prunes the records of calls as well. */
export type Participant = Consumer;

/** Rows per transaction, as the inbox is pruned. */
const CHUNK = 1_000;
const PRUNE_AGAIN_MS = 60_000;

/**
 * A participant with a name of its own: inbox, parked messages and the records of calls are kept under it, so never rename one lightly.
 * Opens nothing before `start`.
 *
 * @throws HoldfastError HF_SAGA_DEFINITION, HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION; `start` rejects as a consumer's
 * @example
 * const stock = createParticipant('stock', {
 *   database,
 *   transport,
 *   handlers: [
 *     handle(ReserveStock, { reply: StockReserved }, async ({ orderId }, { tx }) => {
 *       const { rows } = await tx.query<{ shelf: string }>('UPDATE stock SET held_for = $1 RETURNING shelf', [orderId]);
 *       const [found] = rows;
 *       if (found === undefined) throw new Rejection('sold out');
 *       return { shelf: found.shelf };
 *     }),
 *   ],
 * });
 * await stock.start();
 */
export function createParticipant(name: string, options: DatabaseParticipantOptions): Participant;
/** With a runner, write what it opens, `participant<Transaction<DB>>(…)`: a runner that is written in place does not tell it. */
export function createParticipant<Tx>(name: string, options: RunnerParticipantOptions<Tx>): Participant;
export function createParticipant<Tx>(
  name: string,
  options: DatabaseParticipantOptions | RunnerParticipantOptions<Tx>,
): Participant {
  refuseUnknownOptions(
    options,
    [...KNOWN_OPTIONS.filter((known) => known !== 'window'), 'callRetention', 'replyTopics'],
    whereOfParticipant(name),
  );
  // Which of the two it is, is of no matter from here on, but for how transactions are opened.
  return 'runner' in options
    ? assembleParticipant(name, options, participantRunnerAccess(name, options))
    : assembleParticipant(name, options, participantDatabaseAccess(name, options));
}

/** The parts put together, on whatever keeps the records of calls. */
export function assembleParticipant<Tx>(
  name: string,
  options: CommonConsumerOptions & ParticipantOwnOptions<Tx>,
  access: ParticipantAccess<Tx>,
): Participant {
  const settings = resolveParticipant(whereOfParticipant(name), options);
  assertEncrypts(options.outbox, options.codec, whereOfParticipant(name));
  const log = withoutErrorTexts(safeLogger(options.log), options.codec !== undefined).child({ consumer: name });
  const outbox = options.outbox ?? createOutbox({ schema: access.schema, codec: options.codec });
  const preparer = preparerOf(outbox);
  const context: ParticipantContext<Tx> = {
    name,
    store: access.store,
    outbox,
    // The statement that ends the record writes into the participant's own schema.
    replies: preparer !== null && preparer.schema === access.schema ? preparer : null,
    handlers: settings.handlers,
    lend: access.lend,
    maxBytes: DEFAULT_MAX_BYTES,
    codec: options.codec ?? null,
    replyTopics: settings.replyTopics,
    log,
    calls: safeMetrics(options.metrics, log).counter(
      'holdfast_participant_calls_total',
      'Commands and compensations by what came of them.',
      ['participant', 'topic', 'outcome'],
    ),
  };
  const inner = access.consumer(name, consumable(context), { ...settings.consumerOptions, outbox: context.outbox });
  const clock = options.clock ?? systemClock;
  const pruneLoop = createPacedRounds({
    name: `${name}.calls`,
    clock,
    log,
    bounds: { leastMs: Math.min(1_000, settings.pruneIntervalMs), mostMs: settings.pruneIntervalMs, enough: 4 * CHUNK },
    async round(signal) {
      const pruned = await pruneCalls({ store: context.store, access, settings, clock, signal });
      if (pruned > 0) log.info({ pruned }, 'records of calls pruned');
      return pruned;
    },
    onError: () => PRUNE_AGAIN_MS,
  });
  return withPruning(inner, pruneLoop);
}

/** How a participant is called in the errors about its options. */
function whereOfParticipant(name: string): string {
  return `participant('${name}')`;
}

/** The consumer, started and stopped together with the loop that prunes the records of calls. */
function withPruning(inner: Consumer, pruneLoop: Loop): Participant {
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

interface CallPruning<Tx> {
  readonly store: ParticipantContext<Tx>['store'];
  readonly access: ParticipantAccess<Tx>;
  readonly settings: ParticipantSettings<Tx>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

async function pruneCalls<Tx>({ store, access, settings, clock, signal }: CallPruning<Tx>): Promise<number> {
  let total = 0;
  for (const [kind, olderThanMs] of [
    ['no effect', settings.noEffectRetentionMs],
    ['effect', settings.effectRetentionMs],
  ] as const) {
    await inPacedChunks(clock, signal, async () => {
      const pruned = await access.transaction((execute) => store.prune(execute, kind, olderThanMs, CHUNK));
      total += pruned;
      return pruned === CHUNK;
    });
  }
  return total;
}
