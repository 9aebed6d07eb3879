/**
 * What lies in the brokers, queue by queue. They are asked by the server, which holds no connection to them for it.
 */
import type { VNode } from 'preact';
import { useLoaded } from '../app/load.ts';
import { countText } from '../app/texts.ts';
import type { WireQueue } from '../app/wire.ts';
import { Grid, type GridColumn } from './grid.tsx';
import { Mark, toneLook } from './marks.tsx';
import { Plain } from './payload.tsx';
import { Answered, EmptyNote } from './states.tsx';

const COLUMNS: readonly GridColumn<WireQueue>[] = [
  {
    title: 'Queue',
    kind: 'wide',
    cell: ({ destination, state }) => (
      <>
        <b>{destination}</b> {state.paused ? <Mark look={toneLook('warn', 'paused')} /> : null}
      </>
    ),
  },
  { title: 'Waiting', kind: 'number', cell: ({ state }) => countText(state.waiting) },
  { title: 'Handed out', kind: 'number', cell: ({ state }) => countText(state.active) },
  { title: 'Held until later', kind: 'number', cell: ({ state }) => countText(state.delayed) },
  {
    title: 'Connected',
    kind: 'number',
    cell: ({ state: { consumers } }) => (consumers === null ? '–' : countText(consumers)),
  },
];

export function Queues(): VNode {
  const loaded = useLoaded<{ readonly items: readonly WireQueue[]; readonly trouble: string | null }>(
    'queues',
    {},
    { every: 10_000 },
  );
  return (
    <>
      <h2>Queues in the brokers</h2>
      <Answered loaded={loaded}>
        {({ items, trouble }) => (
          <>
            {items.length > 0 ? (
              <Grid caption="Queues in the brokers" columns={COLUMNS} rows={items} keyOf={keyOf} />
            ) : trouble === null ? (
              <EmptyNote>
                None that this process knows of. It asks the brokers that it was told of when it was started.
              </EmptyNote>
            ) : null}
            {trouble === null ? null : (
              <p class="under fault-text">
                The broker cannot be asked what lies in its queues: <Plain text={trouble} />
              </p>
            )}
            {items.flatMap(({ destination, state }) =>
              state.remarks.map(({ what, advice }) => (
                <p key={`${destination} ${what}`} class="under">
                  <Plain text={`${what} ${advice}`} />
                </p>
              )),
            )}
          </>
        )}
      </Answered>
    </>
  );
}

/** The same name may be there in two brokers. */
function keyOf({ destination, state }: WireQueue): string {
  return JSON.stringify([destination, state]);
}
