/**
 * Who reads the log: subscriptions and their shards, who holds them, how far they are. Beside them the queues that they publish to.
 */
import type { VNode } from 'preact';
import { objectiveOf } from '../app/attention.ts';
import { overview } from '../app/live.ts';
import { useLoaded } from '../app/load.ts';
import { hrefTo } from '../app/router.ts';
import { countText, rateText, several, spanText } from '../app/texts.ts';
import type { WireOverview } from '../app/wire.ts';
import { CommandText } from '../parts/copy.tsx';
import { Grid, type GridColumn } from '../parts/grid.tsx';
import { Mark, toneLook } from '../parts/marks.tsx';
import { Plain } from '../parts/payload.tsx';
import { Queues } from '../parts/queues.tsx';
import { Screen } from '../parts/screen.tsx';
import { Answered, EmptyNote } from '../parts/states.tsx';
import type { Look } from '../app/story.ts';

type Subscription = WireOverview['relay']['subscriptions'][number];

type Objectives = WireOverview['objectives'];

function subscriptionLook(subscription: Subscription, objectives: Objectives): Look {
  const { name, live, trouble, probing, oldestUnpublishedAgeMs, lease } = subscription;
  if (!live) return { tone: 'bad', shape: 'square', word: lease === null ? 'nobody reads' : 'lease ran out' };
  if (trouble !== null) return { tone: 'bad', shape: 'cross', word: 'broker fails' };
  if (probing) return toneLook('warn', 'probing');
  if ((oldestUnpublishedAgeMs ?? 0) > objectiveOf(objectives, name)) return toneLook('warn', 'behind');
  return toneLook('ok', 'reads');
}

const columnsBy = (objectives: Objectives): readonly GridColumn<Subscription>[] => [
  {
    title: 'Subscription',
    cell: ({ name, shard, shards }) => (
      <>
        <b>{name}</b>
        {shards > 1 ? <span class="quiet"> {`shard ${shard} of ${shards}`}</span> : null}
      </>
    ),
  },
  { title: 'State', cell: (row) => <Mark look={subscriptionLook(row, objectives)} /> },
  {
    title: 'Held by',
    kind: 'wide',
    cell: ({ lease }) =>
      lease === null ? (
        <span class="quiet">nobody</span>
      ) : (
        <span title={`epoch ${lease.epoch}, lease for another ${spanText(lease.remainingMs)}`}>{lease.owner}</span>
      ),
  },
  { title: 'Rate', kind: 'number', cell: ({ ratePerSecond }) => rateText(ratePerSecond) },
  { title: 'Behind', kind: 'number', cell: ({ behind }) => countText(behind) },
  { title: 'Oldest', kind: 'number', cell: ({ oldestUnpublishedAgeMs: age }) => (age === null ? '–' : spanText(age)) },
  {
    title: 'Parked',
    kind: 'number',
    cell: ({ name, parked: { failed, behind, dead } }) =>
      failed + behind + dead === 0 ? (
        '0'
      ) : (
        <a href={hrefTo('parked', { kind: 'relay', where: name })}>{countText(failed + behind + dead)}</a>
      ),
  },
];

interface TableProps {
  readonly subscriptions: readonly Subscription[];
  readonly objectives: Objectives;
}

export function SubscriptionTable({ subscriptions, objectives }: TableProps): VNode {
  if (subscriptions.length === 0) {
    return (
      <EmptyNote>
        <p>No subscription yet: nothing publishes what services write. Start a relay:</p>
        <CommandText command="holdfast relay" />
      </EmptyNote>
    );
  }
  return (
    <Grid
      caption="Subscriptions"
      columns={columnsBy(objectives)}
      rows={subscriptions}
      keyOf={({ name, shard }) => `${name}/${shard}`}
    />
  );
}

type WithTopics = Subscription & { readonly topics: readonly string[] | null };

/** More of each than the overview has room for. */
export function SubscriptionsScreen(): VNode {
  const loaded = useLoaded<{ readonly items: readonly WithTopics[] }>('subscriptions', {}, { every: 5_000 });
  return (
    <Screen title="Subscriptions">
      <Answered loaded={loaded}>
        {({ items }) => (
          <>
            <SubscriptionTable subscriptions={items} objectives={overview.value?.objectives ?? []} />
            {items.map(({ name, shard, trouble, topics }) =>
              shard > 0 ? null : (
                <p key={name} class="under">
                  <b>{name}</b>{' '}
                  {topics === null
                    ? 'has not said which topics it has routes for'
                    : `has routes for ${topics.join(', ')}`}
                  {trouble === null ? null : (
                    <span class="fault-text">
                      : <Plain text={trouble} />
                    </span>
                  )}
                </p>
              ),
            )}
          </>
        )}
      </Answered>
      {overview.value === null ? null : <Beside relay={overview.value.relay} />}
      <Queues />
    </Screen>
  );
}

function Beside({ relay: { consumers, replays, scheduled, log } }: { readonly relay: WireOverview['relay'] }): VNode {
  return (
    <>
      <p class="quiet">
        The log reaches from {countText(log.oldestSeq ?? 0)} to {countText(log.newestSeq ?? 0)}
        {log.oldestAgeMs === null ? '' : `; its oldest message is ${spanText(log.oldestAgeMs)} old`}.{' '}
        {scheduled.count === 0 ? 'Nothing is scheduled.' : `${several(scheduled.count, 'message')} scheduled.`}
      </p>
      <h2>Consumers with parked messages</h2>
      {consumers.length === 0 ? (
        <EmptyNote>None: every consumer of this database gets on.</EmptyNote>
      ) : (
        <Grid
          caption="Consumers with parked messages"
          rows={consumers}
          keyOf={({ consumer }) => consumer}
          columns={CONSUMERS}
        />
      )}
      {replays.length === 0 ? null : (
        <>
          <h2>Replays under way</h2>
          <Grid caption="Replays under way" rows={replays} keyOf={({ id }) => id} columns={REPLAYS} />
        </>
      )}
    </>
  );
}

const CONSUMERS: readonly GridColumn<WireOverview['relay']['consumers'][number]>[] = [
  {
    title: 'Consumer',
    cell: ({ consumer }) => (
      <a class="row-link" href={hrefTo('parked', { kind: 'consumer', where: consumer })}>
        {consumer}
      </a>
    ),
  },
  { title: 'Dead letters', kind: 'number', cell: ({ dead }) => countText(dead) },
  { title: 'To be retried', kind: 'number', cell: ({ failed }) => countText(failed) },
  { title: 'Wait behind', kind: 'number', cell: ({ behind }) => countText(behind) },
  { title: 'Oldest', kind: 'number', cell: ({ oldestAgeMs }) => spanText(oldestAgeMs) },
];

const REPLAYS: readonly GridColumn<WireOverview['relay']['replays'][number]>[] = [
  { title: 'Subscription', cell: ({ subscription }) => subscription },
  {
    title: 'Of',
    kind: 'wide',
    cell: ({ topic, key }) => [topic ?? 'all topics', key].filter((each) => each !== null).join(', '),
  },
  {
    title: 'Done',
    kind: 'number',
    cell: ({ fromSeq, toSeq, position }) =>
      `${Math.floor(((position - fromSeq) / Math.max(1, toSeq - fromSeq)) * 100)} %`,
  },
  { title: 'Published', kind: 'number', cell: ({ published }) => countText(published) },
  { title: 'Asked for', cell: ({ requestedAgoMs }) => `${spanText(requestedAgoMs)} ago` },
];
