/**
 * Publishing part of the log again: after a broker lost its memory, or for a consumer that must see it once more. Inboxes make it
 * harmless.
 * The relay does the work (src/relay/delivery/replay.ts).
 */
import { sql } from 'kysely';
import { HoldfastError } from '../../errors.ts';
import { messageId } from '../../message/id.ts';
import { assertTopicPattern, topicPatternToRegex } from '../../message/topic-pattern.ts';
import type { Act } from '../../postgres/audit.ts';
import type { Database } from '../../postgres/database.ts';
import { insertReplay } from '../../relay/delivery/replay-store.ts';
import { didYouMean, refuseUnknownOptions } from '../../runtime/options.ts';
import { audited } from '../parked/interventions.ts';
import { seqAfter, seqBefore } from '../../relay/log/log-position.ts';
import { firstRow, tables } from '../reads/reads.ts';
import { routedTopics } from '../reads/routed-topics.ts';

/** What is to be published again. See {@link requestReplay}. */
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

/** What {@link planReplay} found. */
export interface ReplayPlan {
  readonly subscription: string;
  readonly fromSeq: number;
  readonly toSeq: number;
  /** How many messages of the log fit and have a route; counted up to 100,000, `atLeast` then says that there are more. */
  readonly messages: number;
  readonly atLeast: boolean;
  /** How many fit but will not be published, for no route of the subscription has their topic; counted up to 100,000. */
  readonly unrouted: number;
  readonly oldest: Date;
  readonly newest: Date;
}

/** What {@link requestReplay} has asked for. */
export interface RequestedReplay extends ReplayPlan {
  readonly id: string;
}

const OPTIONS = ['subscription', 'since', 'until', 'fromSeq', 'toSeq', 'topic', 'key'] as const;
const COUNT_LIMIT = 100_000;

/**
 * What a replay would publish. Rejects with HF_SUBSCRIPTION_UNKNOWN, with HF_NOT_FOUND when no message fits, or none that the
 * subscription has a route for, and with HF_CONFIG for options that are not usable.
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
  const patterns = await topicsOf(database, subscription);

  let fitting = tables(database).selectFrom('outbox').select(['seq', 'created_at']);
  if (fromSeq !== undefined) fitting = fitting.where('seq', '>=', fromSeq);
  if (toSeq !== undefined) fitting = fitting.where('seq', '<=', toSeq);
  if (since !== undefined)
    fitting = fitting
      .where('created_at', '>=', since)
      .where('seq', '>=', await seqBefore(database, database.schema, since));
  if (until !== undefined)
    fitting = fitting
      .where('created_at', '<', until)
      .where('seq', '<', await seqAfter(database, database.schema, until));
  if (topic !== undefined) fitting = fitting.where('topic', '~', topicPatternToRegex(topic));
  if (key !== undefined) fitting = fitting.where('key', '=', key);

  const routes = patterns?.includes('**') === false ? patterns.map(topicPatternToRegex) : null;
  const hasRoute = sql<boolean>`topic ~ any(${routes}::text[])`;
  const routed = routes === null ? fitting : fitting.where(hasRoute);
  const count = async (query: typeof fitting): Promise<number> => {
    const counted = tables(database).selectFrom(query.limit(COUNT_LIMIT + 1).as('counted'));
    return Number(
      (
        await firstRow(
          database,
          counted.select(({ fn }) => fn.countAll().as('count')),
        )
      )?.count ?? 0,
    );
  };
  const [first, last, messages, unrouted] = await Promise.all([
    firstRow(database, routed.orderBy('seq').limit(1)),
    firstRow(database, routed.orderBy('seq', 'desc').limit(1)),
    count(routed),
    routes === null ? 0 : count(fitting.where(sql<boolean>`not ${hasRoute}`)),
  ]);
  if (first === undefined || last === undefined) {
    if (unrouted > 0) throw noRoute(subscription, unrouted);
    throw new HoldfastError('HF_NOT_FOUND', 'No message of the log fits.', {
      advice: 'See what there is with the same filter: `holdfast outbox ls`. Retention prunes what is older.',
    });
  }
  return {
    subscription,
    fromSeq: Number(first.seq),
    toSeq: Number(last.seq),
    messages: Math.min(messages, COUNT_LIMIT),
    atLeast: messages > COUNT_LIMIT,
    unrouted: Math.min(unrouted, COUNT_LIMIT),
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

function noRoute(subscription: string, unrouted: number): HoldfastError {
  const some = unrouted > COUNT_LIMIT ? `More than ${COUNT_LIMIT}` : unrouted;
  return new HoldfastError(
    'HF_NOT_FOUND',
    `${some} messages of the log fit, but no route of subscription '${subscription}' has their topic.`,
    {
      advice: 'A replay would publish nothing. Give the topic a route and restart the relay first.',
      details: { subscription, unrouted: Math.min(unrouted, COUNT_LIMIT) },
    },
  );
}

/** The topic patterns of its routes; null: not known, for no relay has started since. Rejects with HF_SUBSCRIPTION_UNKNOWN. */
async function topicsOf(database: Database, name: string): Promise<readonly string[] | null> {
  const known = await routedTopics(database);
  const found = known.get(name);
  if (found !== undefined) return found;
  const names = [...known.keys()];
  const near = didYouMean(name, names);
  const list = names.length === 0 ? 'None has been started yet on this database.' : `There are: ${names.join(', ')}.`;
  throw new HoldfastError('HF_SUBSCRIPTION_UNKNOWN', `There is no subscription '${name}'.`, {
    advice: near === undefined ? list : `Did you mean '${near}'?`,
    details: { subscription: name },
  });
}
