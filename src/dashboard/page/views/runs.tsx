/**
 * Runs of sagas, newest first, searched by what is known of them.
 */
import type { VNode } from 'preact';
import { sessionState } from '../app/api.ts';
import { KEY_FIELD, sinceField, untilField } from '../parts/filter-fields.ts';
import { hrefTo, hrefWith } from '../app/router.ts';
import { runLook } from '../app/story.ts';
import { faultText, spanText } from '../app/texts.ts';
import type { WireRun } from '../app/wire.ts';
import { CommandText, IdText } from '../parts/copy.tsx';
import { Filters, type FilterField } from '../parts/filters.tsx';
import { Grid, type GridColumn } from '../parts/grid.tsx';
import { Mark } from '../parts/marks.tsx';
import { Moment } from '../parts/moment.tsx';
import { Plain } from '../parts/payload.tsx';
import { Screen } from '../parts/screen.tsx';
import { NO_PAGE, SearchedGrid, useSearched } from '../parts/searched.tsx';
import { EmptyNote } from '../parts/states.tsx';
import { ManyRuns } from './runs-many.tsx';

const FIELDS: readonly FilterField[] = [
  { name: 'saga', label: 'Saga', hint: 'its name' },
  {
    name: 'status',
    label: 'State',
    choices: [
      ['', 'any'],
      ['stuck', 'stuck'],
      ['pending,running,waiting,compensating', 'under way'],
      ['compensating', 'compensating'],
      ['waiting', 'waiting'],
      ['running', 'running'],
      ['pending', 'pending'],
      ['completed', 'completed'],
      ['compensated', 'compensated'],
    ],
  },
  KEY_FIELD,
  { name: 'version', label: 'Version', hint: '1' },
  { name: 'error', label: 'Error', hint: 'code, name, or part of it' },
  sinceField('Started since'),
  untilField('Started until'),
];
const MORE: readonly FilterField[] = [
  { name: 'updatedSince', label: 'Changed since', hint: '30m' },
  { name: 'updatedUntil', label: 'Changed until', hint: '5m' },
  { name: 'finishedSince', label: 'Ended since', hint: '30m' },
  { name: 'finishedUntil', label: 'Ended until', hint: '5m' },
  { name: 'parent', label: 'Started by', hint: 'the id of a run' },
  { name: 'id', label: 'Id', hint: 'or how it begins' },
];
/** For those who may be told what inputs hold. */
const INPUT: FilterField = { name: 'input', label: 'Input contains', hint: '{"orderId": "o-1"}', long: true };
const ASKED = [...FIELDS, ...MORE, INPUT].map(({ name }) => name);

export const RUN_COLUMNS: readonly GridColumn<WireRun>[] = [
  {
    title: 'Saga',
    cell: ({ id, saga, version }) => (
      <a class="row-link" href={hrefTo(`runs/${id}`)}>
        {saga}
        <span class="quiet">@{version}</span>
      </a>
    ),
  },
  { title: 'State', cell: ({ status }) => <Mark look={runLook(status)} /> },
  {
    title: 'Key',
    cell: ({ key }) => (key === null ? <span class="quiet">none</span> : <Plain text={key} />),
  },
  {
    title: 'Why',
    kind: 'wide',
    cell: ({ error, reason }) => {
      const text = error === null ? (reason ?? '') : faultText(error);
      return (
        <span title={text}>
          <Plain text={text} />
        </span>
      );
    },
  },
  { title: 'Started', cell: ({ startedAt }) => <Moment at={startedAt} /> },
  {
    title: 'Took',
    kind: 'number',
    cell: ({ startedAt, finishedAt, ageMs }) =>
      finishedAt === null ? `${spanText(ageMs)}…` : spanText(Date.parse(finishedAt) - Date.parse(startedAt)),
  },
  { title: 'Worker', cell: ({ worker }) => (worker === null ? '' : (worker.name ?? 'gone')) },
  { title: 'Id', cell: ({ id }) => <IdText id={id} /> },
];

export function RunsScreen(): VNode {
  const loaded = useSearched<WireRun>('runs', ASKED);
  const current = sessionState.value;
  const byValue = current.state === 'in' && current.session.searchesValues;
  return (
    <Screen title="Runs" aside={<a href={hrefWith({ status: 'stuck', ...NO_PAGE })}>Only those that are stuck</a>}>
      <Filters fields={FIELDS} more={byValue ? [INPUT, ...MORE] : MORE} />
      <ManyRuns />
      <SearchedGrid
        caption="Runs of sagas"
        one="run"
        columns={RUN_COLUMNS}
        keyOf={({ id }) => id}
        loaded={loaded}
        empty={
          <EmptyNote>
            <p>No run fits; no search looks into what is encrypted. From the command line one is started so:</p>
            <CommandText command={"holdfast saga start place-order --input '{…}' --key o-1"} />
          </EmptyNote>
        }
      />
    </Screen>
  );
}

/** Runs that another one started. */
export function ChildRuns({ runs }: { readonly runs: readonly WireRun[] }): VNode {
  return <Grid caption="Runs that it started" columns={RUN_COLUMNS} rows={runs} keyOf={({ id }) => id} />;
}
