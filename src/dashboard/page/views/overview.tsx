/**
 * Everything on one screen: whether messages flow and sagas finish, and what needs a person. Each figure leads to its list.
 */
import type { ComponentChildren, VNode } from 'preact';
import { alertsLine, attentionOf, countsNow, flowOf, type FlowFigures, type Tone } from '../app/attention.ts';
import { overview, overviewFailure } from '../app/live.ts';
import { hrefTo } from '../app/router.ts';
import { countText, rateText, several, spanText } from '../app/texts.ts';
import type { WireOverview } from '../app/wire.ts';
import { SmallChart } from '../parts/chart.tsx';
import { Mark, Shape, toneLook } from '../parts/marks.tsx';
import { Screen } from '../parts/screen.tsx';
import { EmptyNote, FailureNote, LoadingNote } from '../parts/states.tsx';
import { RunsByState } from './runs-by-state.tsx';
import { SubscriptionTable } from './subscriptions.tsx';
import { WorkerTable } from './workers.tsx';

export function OverviewScreen(): VNode {
  const current = overview.value;
  const failure = overviewFailure.value;
  return (
    <Screen title="Overview">
      {failure === null ? null : <FailureNote failure={failure} />}
      {current === null ? failure === null ? <LoadingNote lines={10} /> : null : <Now current={current} />}
    </Screen>
  );
}

function Now({ current }: { readonly current: WireOverview }): VNode {
  const flow = flowOf(current);
  const needed = attentionOf(current);
  return (
    <div class="overview">
      <FlowLine flow={flow} />
      <section class="needed" aria-labelledby="needed">
        <h2 id="needed">Needs a person</h2>
        {needed.length === 0 ? (
          <EmptyNote>Nothing. Messages flow, and no run is stuck.</EmptyNote>
        ) : (
          <ul>
            {needed.map(({ tone, what, why, path, query }) => (
              <li key={what}>
                <a href={hrefTo(path, query)} class={tone}>
                  <Shape name={toneLook(tone, '').shape} />
                  <b>{what}</b>
                  <span>{why}</span>
                </a>
              </li>
            ))}
          </ul>
        )}
        {current.alerts === null ? null : (
          <p class="quiet">
            <a href={hrefTo('alerts')}>{alertsLine(current.alerts)}</a>
          </p>
        )}
      </section>
      <Charts current={current} objectiveMs={flow.objectiveMs} />
      <section class="subscriptions" aria-labelledby="subscriptions">
        <h2 id="subscriptions">
          <a href={hrefTo('subscriptions')}>Subscriptions</a>
        </h2>
        <SubscriptionTable subscriptions={current.relay.subscriptions} objectives={current.objectives} />
      </section>
      {current.sagas === null ? null : (
        <>
          <section class="states" aria-labelledby="states">
            <h2 id="states">
              <a href={hrefTo('runs')}>Runs by state</a>
            </h2>
            <RunsByState counts={countsNow(current.sagas)} />
          </section>
          <section class="workers" aria-labelledby="workers">
            <h2 id="workers">
              <a href={hrefTo('workers')}>Workers</a>
            </h2>
            <WorkerTable workers={current.sagas.workers} />
          </section>
        </>
      )}
    </div>
  );
}

/** A message's way from the outbox to the sagas that wait for it, with the figure that says most at each place. */
function FlowLine({ flow }: { readonly flow: FlowFigures }): VNode {
  const { behind, published, written, drainMs, readers, shards, parked, dead, underWay, stuck } = flow;
  const { oldestMs, objectiveMs } = flow;
  const used = objectiveMs === null || oldestMs === null ? 0 : oldestMs / objectiveMs;
  const late: Tone = used < 0.5 ? 'ok' : used <= 1 ? 'warn' : 'bad';
  return (
    <ol class="flow" aria-label="From the outbox to the sagas">
      <Station
        name="Outbox"
        label="oldest unpublished"
        value={oldestMs === null ? 'none' : spanText(oldestMs)}
        tone={late}
        word={late === 'ok' ? 'in time' : late === 'warn' ? 'getting late' : 'late'}
        href={hrefTo('messages')}
      >
        {behind === 0 ? 'nothing behind' : `${countText(behind)} behind`}
        {objectiveMs === null ? '' : ` · objective ${spanText(objectiveMs)}`}
      </Station>
      <Station
        name="Relay"
        label="published"
        value={rateText(published)}
        tone={readers < shards ? 'bad' : 'ok'}
        word={shards === 0 ? 'no subscription' : readers === shards ? 'all read' : `${readers} of ${shards} read`}
        href={hrefTo('subscriptions')}
      >
        {written === null ? 'written: unknown' : `written ${rateText(written)}`}
        {drainMs === null ? '' : ` · drained in ${spanText(drainMs)}`}
      </Station>
      <Station
        name="Consumers"
        label="parked"
        value={countText(parked)}
        tone={dead > 0 ? 'bad' : parked > 0 ? 'warn' : 'ok'}
        word={dead > 0 ? several(dead, 'dead letter') : parked > 0 ? 'retried' : 'all handled'}
        href={hrefTo('parked')}
      >
        relays and consumers
      </Station>
      {underWay === null || stuck === null ? null : (
        <Station
          name="Sagas"
          label="under way"
          value={countText(underWay)}
          tone={stuck > 0 ? 'bad' : 'ok'}
          word={stuck > 0 ? `${countText(stuck)} stuck` : 'none stuck'}
          href={stuck > 0 ? hrefTo('runs', { status: 'stuck' }) : hrefTo('runs')}
        >
          runs that have not ended
        </Station>
      )}
    </ol>
  );
}

interface StationProps {
  readonly name: string;
  readonly label: string;
  readonly value: string;
  readonly tone: Tone;
  readonly word: string;
  readonly href: string;
  readonly children: ComponentChildren;
}

function Station({ name, label, value, tone, word, href, children }: StationProps): VNode {
  return (
    <li class={`station ${tone}`}>
      <a href={href}>
        <span class="station-name">{name}</span>
        <span class="station-value">{value}</span>
        <span class="station-label">{label}</span>
        <Mark look={toneLook(tone, word)} />
        <span class="station-more">{children}</span>
      </a>
    </li>
  );
}

interface ChartsProps {
  readonly current: WireOverview;
  readonly objectiveMs: number | null;
}

function Charts({ current: { history }, objectiveMs }: ChartsProps): VNode {
  const points = history.map((each) => ({ ...each, time: Date.parse(each.at) }));
  return (
    <section class="charts" aria-labelledby="charts">
      <h2 id="charts">The last minutes</h2>
      <SmallChart
        title="Messages a second"
        names={['out', 'in']}
        points={points.map(({ time, published, written }) => ({
          at: time,
          value: published ?? 0,
          other: written ?? 0,
        }))}
        text={rateText}
      />
      <SmallChart
        title="Oldest unpublished"
        points={points.map(({ time, oldestMs }) => ({ at: time, value: oldestMs }))}
        text={spanText}
        {...(objectiveMs === null ? {} : { objective: objectiveMs })}
      />
      <SmallChart
        title="Parked"
        points={points.map(({ time, parked }) => ({ at: time, value: parked }))}
        text={countText}
      />
      {points.every(({ runs }) => runs === null) ? null : (
        <SmallChart
          title="Runs that are stuck"
          points={points.map(({ time, runs }) => ({ at: time, value: runs?.stuck ?? 0 }))}
          text={countText}
        />
      )}
    </section>
  );
}
