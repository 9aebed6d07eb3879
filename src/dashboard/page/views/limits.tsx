/**
 * The limits in force: of workers, of sagas and their steps, of subscriptions and consumers, as they have said or as the code declares.
 */
import type { VNode } from 'preact';
import { useLoaded } from '../app/load.ts';
import { countText, sizeText, spanText } from '../app/texts.ts';
import type { WireLimits } from '../app/wire.ts';
import { Grid, type GridColumn } from '../parts/grid.tsx';
import { Screen } from '../parts/screen.tsx';
import { Answered, EmptyNote } from '../parts/states.tsx';
import type { DeclaredSaga, DeclaredStep } from '../../server/contract.ts';

type Worker = WireLimits['workers'][number];
type Subscription = WireLimits['subscriptions'][number];
type Consumer = WireLimits['consumers'][number];

const UNKNOWN = '–';
const count = (value: number | null): string => (value === null ? UNKNOWN : countText(value));
const size = (value: number | null): string => (value === null ? UNKNOWN : sizeText(value));
const span = (value: number | null): string => (value === null ? UNKNOWN : spanText(value));

const WORKERS: readonly GridColumn<Worker>[] = [
  { title: 'Worker', cell: ({ id, name }) => <b title={id}>{name}</b> },
  { title: 'Runs at once', kind: 'number', cell: ({ concurrency }) => count(concurrency) },
  { title: 'Waiting in memory', kind: 'number', cell: ({ waiting }) => count(waiting) },
  {
    title: 'Of one saga',
    kind: 'wide',
    cell: ({ sagaConcurrency }) =>
      Object.entries(sagaConcurrency)
        .map(([saga, most]) => `${saga}: ${countText(most)}`)
        .join(', ') || 'no limit of its own',
  },
  { title: 'One value', kind: 'number', cell: ({ maxBytes }) => size(maxBytes) },
  {
    title: 'Journal',
    kind: 'number',
    cell: ({ maxEvents }) => (maxEvents === null ? UNKNOWN : `${count(maxEvents)} events`),
  },
  { title: 'Its size', kind: 'number', cell: ({ maxJournalBytes }) => size(maxJournalBytes) },
  { title: 'Lease', kind: 'number', cell: ({ leaseMs }) => span(leaseMs) },
  { title: 'Runs kept', kind: 'number', cell: ({ retentionMs }) => span(retentionMs) },
];

const SUBSCRIPTIONS: readonly GridColumn<Subscription>[] = [
  { title: 'Subscription', cell: ({ name }) => <b>{name}</b> },
  { title: 'Shards', kind: 'number', cell: ({ shards }) => count(shards) },
  {
    title: 'Routes',
    kind: 'wide',
    cell: ({ routes }) =>
      routes
        .map(({ topics, to, ordered }) => `${topics.join(', ')} to ${to}${ordered ? ', in order' : ''}`)
        .join('; ') || UNKNOWN,
  },
  { title: 'When refused', cell: ({ onRefused }) => onRefused ?? UNKNOWN },
  { title: 'Messages kept', kind: 'number', cell: ({ retentionMs }) => span(retentionMs) },
];

const CONSUMERS: readonly GridColumn<Consumer>[] = [
  { title: 'Consumer', cell: ({ name }) => <b>{name}</b> },
  { title: 'Queues', kind: 'wide', cell: ({ queues }) => queues.join(', ') },
  { title: 'Inbox remembers', kind: 'number', cell: ({ retentionMs }) => span(retentionMs) },
];

interface Budget extends DeclaredStep {
  readonly saga: string;
}

const endless = (text: string): string => (text === UNKNOWN ? 'no end' : text);

const BUDGETS: readonly GridColumn<Budget>[] = [
  { title: 'Step', cell: ({ saga, name }) => `${saga} ${name}` },
  { title: 'Kind', cell: ({ kind, pivot }) => (pivot ? `${kind}, the pivot` : kind) },
  // Behind a pivot nothing gives up, whatever is declared; where that begins is known only when the code runs.
  { title: 'Attempts', kind: 'number', cell: ({ budget }) => endless(count(budget.attempts)) },
  { title: 'Within', kind: 'number', cell: ({ budget }) => endless(span(budget.withinMs)) },
  { title: 'One attempt', kind: 'number', cell: ({ budget }) => endless(span(budget.timeoutMs)) },
];

/** Of these something is attempted. */
const ATTEMPTED: ReadonlySet<string> = new Set(['step', 'transaction', 'command']);

function budgetsOf(sagas: readonly DeclaredSaga[]): readonly Budget[] {
  return sagas.flatMap(({ name, version, steps }) =>
    steps.filter(({ kind }) => ATTEMPTED.has(kind)).map((step) => ({ ...step, saga: `${name}@${version}` })),
  );
}

export function LimitsScreen(): VNode {
  const loaded = useLoaded<WireLimits>('limits', {}, { every: 15_000 });
  const declared = useLoaded<{ readonly known: boolean; readonly items: readonly DeclaredSaga[] }>('sagas');
  const sagas = declared.data;
  return (
    <Screen title="Limits">
      <Answered loaded={loaded} lines={12}>
        {({ workers, subscriptions, consumers }) => (
          <>
            <h2>Workers</h2>
            {workers.length === 0 ? (
              <EmptyNote>No worker has registered.</EmptyNote>
            ) : (
              <Grid caption="Limits of workers" columns={WORKERS} rows={workers} keyOf={({ id }) => id} />
            )}
            <h2>Subscriptions</h2>
            {subscriptions.length === 0 ? (
              <EmptyNote>No relay has run.</EmptyNote>
            ) : (
              <Grid
                caption="Limits of subscriptions"
                columns={SUBSCRIPTIONS}
                rows={subscriptions}
                keyOf={({ name }) => name}
              />
            )}
            {consumers.length === 0 ? null : (
              <>
                <h2>Consumers</h2>
                <Grid caption="Limits of consumers" columns={CONSUMERS} rows={consumers} keyOf={({ name }) => name} />
              </>
            )}
          </>
        )}
      </Answered>
      {sagas === undefined || !sagas.known ? null : (
        <>
          <h2>Budgets of steps</h2>
          <Grid
            caption="Budgets of steps"
            columns={BUDGETS}
            rows={budgetsOf(sagas.items)}
            keyOf={({ saga, name }) => `${saga} ${name}`}
          />
        </>
      )}
    </Screen>
  );
}
