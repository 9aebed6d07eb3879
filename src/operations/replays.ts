/**
 * Publishing part of the log again: after a broker lost its memory, or for a consumer that must see it once more. Inboxes make it
 * harmless. Used by `holdfast outbox replay` and the dashboard; the relay does the work (src/relay/replay.ts).
 */
import { HoldfastError } from '../errors.ts';
import { messageId } from '../message/id.ts';
import { assertTopicPattern, topicPatternToRegex } from '../message/topic-pattern.ts';
import type { Act } from '../postgres/audit.ts';
import type { Database } from '../postgres/database.ts';
import { requestReplay as insertReplay } from '../relay/replay-store.ts';
import { didYouMean, refuseUnknownOptions } from '../runtime/options.ts';
import { audited } from './interventions.ts';
import { seqAfter, seqBefore } from './log-position.ts';
import { firstRow, rows, tables } from './reads.ts';

export interface ReplayOptions {
  readonly subscription: string;
  /** Messages written at or after. */
  readonly since?: Date | undefined;
  /** Messages written before. */
  readonly until?: Date | undefined;
  /** Inclusive, like toSeq. */
  readonly fromSeq?: number | undefined;
  readonly toSeq?: number | undefined;
  /** A topic pattern. */
  readonly topic?: string | undefined;
  readonly key?: string | undefined;
}

export interface ReplayPlan {
  readonly subscription: string;
  readonly fromSeq: number;
  readonly toSeq: number;
  /** How many messages of the log fit; counted up to 100,000, `atLeast` then says that there are more. */
  readonly messages: number;
  readonly atLeast: boolean;
  readonly oldest: Date;
  readonly newest: Date;
}

export interface RequestedReplay extends ReplayPlan {
  readonly id: string;
}

const OPTIONS = ['subscription', 'since', 'until', 'fromSeq', 'toSeq', 'topic', 'key'] as const;
const COUNT_LIMIT = 100_000;

/**
 * What a replay would publish. Rejects with HF_SUBSCRIPTION_UNKNOWN, with HF_NOT_FOUND when no message fits, and with HF_CONFIG for
 * options that are not usable.
 */
export async function planReplay(database: Database, options: ReplayOptions): Promise<ReplayPlan> {
  refuseUnknownOptions(options, OPTIONS, 'requestReplay');
  const { subscription, since, until, fromSeq, toSeq, topic, key } = options;
  for (const [name, seq] of Object.entries({ fromSeq, toSeq })) {
    if (seq !== undefined && (!Number.isSafeInteger(seq) || seq < 0)) {
      throw new HoldfastError('HF_CONFIG', `${name} is ${seq}.`, {
        advice: 'Give a seq of the log, as `holdfast outbox ls` shows it.',
      });
    }
  }
  if (topic !== undefined) assertTopicPattern(topic);
  await assertSubscription(database, subscription);

  let fitting = tables(database).selectFrom('outbox').select(['seq', 'created_at']);
  if (fromSeq !== undefined) fitting = fitting.where('seq', '>=', fromSeq);
  if (toSeq !== undefined) fitting = fitting.where('seq', '<=', toSeq);
  if (since !== undefined)
    fitting = fitting.where('created_at', '>=', since).where('seq', '>=', await seqBefore(database, since));
  if (until !== undefined)
    fitting = fitting.where('created_at', '<', until).where('seq', '<', await seqAfter(database, until));
  if (topic !== undefined) fitting = fitting.where('topic', '~', topicPatternToRegex(topic));
  if (key !== undefined) fitting = fitting.where('key', '=', key);

  const [first, last, counted] = await Promise.all([
    firstRow(database, fitting.orderBy('seq').limit(1)),
    firstRow(database, fitting.orderBy('seq', 'desc').limit(1)),
    firstRow(
      database,
      tables(database)
        .selectFrom(fitting.limit(COUNT_LIMIT + 1).as('fitting'))
        .select(({ fn }) => fn.countAll().as('count')),
    ),
  ]);
  if (first === undefined || last === undefined) {
    throw new HoldfastError('HF_NOT_FOUND', 'No message of the log fits.', {
      advice: 'See what there is with the same filter: `holdfast outbox ls`. Retention prunes what is older.',
    });
  }
  const count = Number(counted?.count ?? 0);
  return {
    subscription,
    fromSeq: Number(first.seq),
    toSeq: Number(last.seq),
    messages: Math.min(count, COUNT_LIMIT),
    atLeast: count > COUNT_LIMIT,
    oldest: new Date(first.created_at),
    newest: new Date(last.created_at),
  };
}

/**
 * Asks the relays of the subscription for a replay; they work it off between live messages, and the id travels with each message as
 * `replayid`. Rejects as planReplay does.
 */
export async function requestReplay(database: Database, options: ReplayOptions, act: Act): Promise<RequestedReplay> {
  const plan = await planReplay(database, options);
  const { subscription, fromSeq, toSeq, messages } = plan;
  const { topic = null, key = null } = options;
  const id = messageId();
  await audited(database, async (client, audit) => {
    await insertReplay(client, database.schema, { id, subscription, fromSeq, toSeq, topic, key });
    const details = {
      subscription,
      fromSeq,
      toSeq,
      topic,
      key,
      messages,
      since: options.since ?? null,
      until: options.until ?? null,
    };
    await audit({ ...act, action: 'outbox.replay', subject: id, details });
  });
  return { id, ...plan };
}

async function assertSubscription(database: Database, name: string): Promise<void> {
  const known = await rows(
    database,
    tables(database).selectFrom('subscription').select('name').distinct().orderBy('name'),
  );
  const names = known.map((row) => row.name);
  if (names.includes(name)) return;
  const near = didYouMean(name, names);
  const list = names.length === 0 ? 'None has been started yet on this database.' : `There are: ${names.join(', ')}.`;
  throw new HoldfastError('HF_SUBSCRIPTION_UNKNOWN', `There is no subscription '${name}'.`, {
    advice: near === undefined ? list : `Did you mean '${near}'?`,
    details: { subscription: name },
  });
}
