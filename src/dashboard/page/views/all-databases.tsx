/**
 * All databases on one screen: what needs a person in any of them, and a line for each.
 */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { attentionOfAll, lineOf, type DatabaseLine } from '../app/all-now.ts';
import { now } from '../app/clock.ts';
import { databaseNames } from '../app/databases.ts';
import { overviewFailure, overviews } from '../app/live.ts';
import { hrefTo } from '../app/router.ts';
import { countText, rateText, spanText } from '../app/texts.ts';
import { DatabaseName } from '../parts/database-name.tsx';
import { Grid, type GridColumn } from '../parts/grid.tsx';
import { Mark, Shape, toneLook } from '../parts/marks.tsx';
import { Screen } from '../parts/screen.tsx';
import { EmptyNote, FailureNote } from '../parts/states.tsx';

export function AllOverviewScreen(): VNode {
  const [since] = useState(() => Date.now());
  const failure = overviewFailure.value;
  const heard = overviews.value;
  const names = databaseNames.value;
  const waiting = { nowMs: Math.max(now.value, Date.now()), waitedMs: Math.max(now.value, Date.now()) - since };
  const needed = attentionOfAll(names, heard, waiting);
  const lines = names.map((name) => lineOf(name, heard.get(name) ?? null, waiting));
  return (
    <Screen title="Overview" aside={<span class="quiet">of {countText(names.length)} databases</span>}>
      {failure === null ? null : <FailureNote failure={failure} />}
      <div class="overview all">
        <section class="needed" aria-labelledby="needed">
          <h2 id="needed">Needs a person</h2>
          {needed.length > 0 ? null : (
            <EmptyNote>
              {lines.every(({ word }) => word === 'asking')
                ? 'Asking all of them.'
                : 'Nothing. Messages flow, and no run is stuck.'}
            </EmptyNote>
          )}
          <ul>
            {needed.map(({ tone, what, why, path, query, database }) => (
              <li key={`${database} ${what}`}>
                <a href={hrefTo(path, query, database)} class={tone}>
                  <Shape name={toneLook(tone, '').shape} />
                  <b>
                    <DatabaseName name={database} /> {what}
                  </b>
                  <span>{why}</span>
                </a>
              </li>
            ))}
          </ul>
        </section>
        <section aria-labelledby="databases">
          <h2 id="databases">Databases</h2>
          <Grid caption="Databases" columns={COLUMNS} rows={lines} keyOf={({ name }) => name} />
        </section>
      </div>
    </Screen>
  );
}

/** A figure of one that answers. */
const figure =
  (text: (flow: NonNullable<DatabaseLine['flow']>) => string | null) =>
  ({ flow }: DatabaseLine): VNode | string =>
    (flow === null ? null : text(flow)) ?? <span class="quiet">unknown</span>;

const COLUMNS: readonly GridColumn<DatabaseLine>[] = [
  {
    title: 'Database',
    cell: ({ name }) => (
      <a class="row-link" href={hrefTo('', {}, name)}>
        {name}
      </a>
    ),
  },
  { title: 'State', cell: ({ tone, word }) => <Mark look={toneLook(tone, word)} /> },
  {
    title: 'Oldest unpublished',
    kind: 'number',
    cell: figure(({ oldestMs }) => (oldestMs === null ? 'none' : spanText(oldestMs))),
  },
  { title: 'Published', kind: 'number', cell: figure(({ published }) => rateText(published)) },
  { title: 'Parked', kind: 'number', cell: figure(({ parked }) => countText(parked)) },
  {
    title: 'Runs under way',
    kind: 'number',
    cell: figure(({ underWay }) => (underWay === null ? null : countText(underWay))),
  },
  { title: 'Stuck', kind: 'number', cell: figure(({ stuck }) => (stuck === null ? null : countText(stuck))) },
];
