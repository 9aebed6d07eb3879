/**
 * Who executes runs: workers, their leases, what they can run.
 */
import type { VNode } from 'preact';
import { useLoaded } from '../app/load.ts';
import type { Look } from '../app/story.ts';
import { countText, spanText } from '../app/texts.ts';
import type { WireWorker } from '../app/wire.ts';
import { CommandText } from '../parts/copy.tsx';
import { Grid, type GridColumn } from '../parts/grid.tsx';
import { Mark, toneLook } from '../parts/marks.tsx';
import { Moment } from '../parts/moment.tsx';
import { Screen } from '../parts/screen.tsx';
import { Answered, EmptyNote } from '../parts/states.tsx';

function workerLook({ live, draining }: WireWorker): Look {
  if (!live) return { tone: 'bad', shape: 'square', word: 'lease ran out' };
  return draining ? { tone: 'wait', shape: 'bars', word: 'drains' } : toneLook('ok', 'works');
}

const COLUMNS: readonly GridColumn<WireWorker>[] = [
  { title: 'Worker', cell: ({ name, id }) => <b title={id}>{name}</b> },
  { title: 'State', cell: (row) => <Mark look={workerLook(row)} /> },
  { title: 'Runs', kind: 'number', cell: ({ runs }) => countText(runs) },
  { title: 'Lease', kind: 'number', cell: ({ leaseMs }) => spanText(leaseMs) },
  { title: 'Sagas', kind: 'wide', cell: ({ sagas }) => sagas.join(', ') },
  { title: 'Since', cell: ({ startedAt }) => <Moment at={startedAt} /> },
];

export function WorkerTable({ workers }: { readonly workers: readonly WireWorker[] }): VNode {
  if (workers.length === 0) {
    return (
      <EmptyNote>
        <p>No worker yet: nothing executes runs of sagas. Start one:</p>
        <CommandText command="holdfast worker --sagas ./sagas" />
      </EmptyNote>
    );
  }
  return <Grid caption="Workers" columns={COLUMNS} rows={workers} keyOf={({ id }) => id} />;
}

export function WorkersScreen(): VNode {
  const loaded = useLoaded<{ readonly items: readonly WireWorker[] }>('workers', {}, { every: 5_000 });
  return (
    <Screen title="Workers">
      <Answered loaded={loaded}>{({ items }) => <WorkerTable workers={items} />}</Answered>
    </Screen>
  );
}
