/**
 * What is due next: messages that were scheduled for later, and runs that sleep until a time.
 */
import type { VNode } from 'preact';
import { useLoaded } from '../app/load.ts';
import { hrefTo } from '../app/router.ts';
import { runLook } from '../app/story.ts';
import { shortId } from '../app/texts.ts';
import type { WireNextDue } from '../app/wire.ts';
import { Grid, type GridColumn } from '../parts/grid.tsx';
import { Mark } from '../parts/marks.tsx';
import { Moment } from '../parts/moment.tsx';
import { Plain } from '../parts/payload.tsx';
import { Screen } from '../parts/screen.tsx';
import { Answered, EmptyNote } from '../parts/states.tsx';

type DueMessage = WireNextDue['messages'][number];
type DueTimer = WireNextDue['timers'][number];

const keyCell = ({ key }: { readonly key: string | null }): VNode | string =>
  key === null ? '–' : <Plain text={key} />;

const MESSAGES: readonly GridColumn<DueMessage>[] = [
  { title: 'Due', cell: ({ dueAt }) => <Moment at={dueAt} /> },
  {
    title: 'Topic',
    cell: ({ id, topic }) => (
      <a class="row-link" href={hrefTo(`messages/${id}`)}>
        {topic}
      </a>
    ),
  },
  { title: 'Key', kind: 'wide', cell: keyCell },
  { title: 'Message', cell: ({ id }) => <code title={id}>{shortId(id)}</code> },
];

const TIMERS: readonly GridColumn<DueTimer>[] = [
  { title: 'Due', cell: ({ dueAt }) => <Moment at={dueAt} /> },
  {
    title: 'Run',
    cell: ({ run, saga, version }) => (
      <a class="row-link" href={hrefTo(`runs/${run}`)}>
        {saga}@{version}
      </a>
    ),
  },
  { title: 'State', cell: ({ status }) => <Mark look={runLook(status)} /> },
  { title: 'Key', kind: 'wide', cell: keyCell },
  { title: 'Id', cell: ({ run }) => <code title={run}>{shortId(run)}</code> },
];

export function ScheduleScreen(): VNode {
  const loaded = useLoaded<WireNextDue>('schedule', { limit: 50 }, { every: 5_000 });
  return (
    <Screen title="Schedule">
      <Answered loaded={loaded} lines={12}>
        {({ messages, timers }) => (
          <>
            <h2>Messages for later</h2>
            {messages.length === 0 ? (
              <EmptyNote>No message waits for its time.</EmptyNote>
            ) : (
              <Grid caption="Messages for later" columns={MESSAGES} rows={messages} keyOf={({ id }) => id} />
            )}
            <h2>Runs that wait for a time</h2>
            {timers.length === 0 ? (
              <EmptyNote>
                No run outside of memory waits for a time. Workers know the timers of those they hold.
              </EmptyNote>
            ) : (
              <Grid caption="Runs that wait for a time" columns={TIMERS} rows={timers} keyOf={({ run }) => run} />
            )}
            <p class="quiet">
              The next 50 of each. A run waits for its earliest timer: a sleep, a deadline, an attempt.
            </p>
          </>
        )}
      </Answered>
    </Screen>
  );
}
