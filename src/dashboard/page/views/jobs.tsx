/**
 * Acts on many: those that were started, and one of them as it goes on.
 */
import type { VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import type { ListPage } from '../../server/contract.ts';
import { commandLine } from '../../server/commands.ts';
import { mayAct, openAct } from '../app/acts.ts';
import {
  dealtWith,
  figuresOf,
  jobDoes,
  jobLook,
  passedOverWords,
  progressText,
  type JobFigures,
} from '../app/job-words.ts';
import { overview } from '../app/live.ts';
import { useLoaded } from '../app/load.ts';
import { hrefTo, queryNow } from '../app/router.ts';
import { countText, rateText } from '../app/texts.ts';
import type { WireJob } from '../app/wire.ts';
import { CommandText, CopyButton, IdText } from '../parts/copy.tsx';
import { Filters, type FilterField } from '../parts/filters.tsx';
import { PagedGrid, type GridColumn } from '../parts/grid.tsx';
import { Mark } from '../parts/marks.tsx';
import { Moment } from '../parts/moment.tsx';
import { Plain } from '../parts/payload.tsx';
import { Screen, ValueList } from '../parts/screen.tsx';
import { Answered, EmptyNote } from '../parts/states.tsx';

const FIELDS: readonly FilterField[] = [
  {
    name: 'state',
    label: 'State',
    choices: [
      ['', 'any'],
      ['open', 'open'],
      ['done', 'done'],
      ['aborted', 'aborted'],
    ],
  },
];

/** As it is told to all who look, else as it was read. */
function liveFigures(job: WireJob): JobFigures {
  const told = job.state === 'open' ? overview.value?.jobs?.find(({ id }) => id === job.id) : undefined;
  const read = figuresOf(job);
  // Whichever came later: it only goes on.
  return told !== undefined && dealtWith(told) >= dealtWith(read) ? told : read;
}

const COLUMNS: readonly GridColumn<WireJob>[] = [
  {
    title: 'What',
    cell: ({ id, act }) => (
      <a class="row-link" href={hrefTo(`jobs/${id}`)}>
        {jobDoes(act.kind)}
      </a>
    ),
  },
  { title: 'State', cell: (job) => <Mark look={jobLook(job.state, liveFigures(job).runner)} /> },
  { title: 'Progress', cell: (job) => progressText(liveFigures(job)) },
  { title: 'By', cell: ({ actor }) => <Plain text={actor} /> },
  { title: 'Why', kind: 'wide', cell: ({ reason }) => <Plain text={reason} /> },
  { title: 'Started', cell: ({ createdAt }) => <Moment at={createdAt} /> },
  { title: 'Id', cell: ({ id }) => <IdText id={id} /> },
];

export function JobsScreen(): VNode {
  const query = queryNow(['state', 'cursor']);
  const cursor = query['cursor'] ?? null;
  const loaded = useLoaded<ListPage<WireJob>>('jobs', query, { every: cursor === null ? 10_000 : null });
  return (
    <Screen title="Jobs">
      <Filters fields={FIELDS} />
      <PagedGrid
        caption="Acts on many"
        columns={COLUMNS}
        keyOf={({ id }) => id}
        loaded={loaded}
        cursor={cursor}
        older="Older jobs"
        empty={
          <EmptyNote>
            No act on many was started. <a href={hrefTo('parked-groups')}>Parked messages</a> and{' '}
            <a href={hrefTo('runs', { status: 'stuck' })}>stuck runs</a> have them.
          </EmptyNote>
        }
      />
    </Screen>
  );
}

export function JobScreen({ id }: { readonly id: string }): VNode {
  const loaded = useLoaded<WireJob>(`jobs/${encodeURIComponent(id)}`);
  const { data, reload } = loaded;
  const told = overview.value;
  // What is told to all has only jobs that are open: one that is not among them has ended since it was read.
  useEffect(() => {
    if (data?.state === 'open' && told !== null && told.jobs?.some((each) => each.id === id) !== true) reload();
  }, [told]);
  return (
    <Screen
      title={data === undefined ? 'Job' : jobDoes(data.act.kind)}
      aside={
        <span class="whole-id">
          <code>{id}</code>
          <CopyButton text={id} what="the id" />
        </span>
      }
    >
      <Answered loaded={loaded}>{(job) => <OneJob job={job} reload={reload} />}</Answered>
    </Screen>
  );
}

function OneJob({ job, reload }: { readonly job: WireJob; readonly reload: () => void }): VNode {
  const { id, act, state, actor, reason, rate, createdAt, finishedAt, passedOver, failed } = job;
  const figures = liveFigures(job);
  const isOpen = state === 'open';
  return (
    <>
      <section class="progress" aria-label="Progress">
        <progress aria-label="Dealt with" {...barOf(state, figures)} />
        <p role="status">
          <Mark look={jobLook(state, figures.runner)} />
          <b>{progressText(figures)}</b>
        </p>
      </section>
      {isOpen && mayAct.value ? (
        <p class="acts">
          <button type="button" class="button grave" onClick={() => askAbort(id, reload)}>
            Abort
          </button>
          {figures.runner === null ? (
            <button type="button" class="button strong" onClick={() => askResume(id, reload)}>
              Go on with it
            </button>
          ) : null}
        </p>
      ) : null}
      <ValueList
        facts={[
          ['For', <Selection key="for" job={job} />],
          ...(act.kind === 'saga.resolve' ? [['As', act.resolution.as] as const] : []),
          ['By', <Plain key="by" text={actor} />],
          ['Why', <Plain key="why" text={reason} />],
          ['How fast', rate === null ? 'as fast as it goes' : `${rateText(rate)} at most`],
          ['Started', <Moment key="started" at={createdAt} />],
          finishedAt === null ? null : ['Ended', <Moment key="ended" at={finishedAt} />],
          figures.runner === null ? null : ['Worked on by', <Plain key="runner" text={figures.runner} />],
          [
            'Audit',
            <a key="audit" href={hrefTo('audit', { job: id })}>
              what it did
            </a>,
          ],
        ]}
      />
      <Troubles job={job} passedOver={passedOver} failed={failed} />
      <p class="quiet">From the command line:</p>
      <CommandText command={commandLine(['job', 'show', id])} />
    </>
  );
}

/** Of a job that is done the bar is full, though some may have gone by themselves; of one that was not counted to the end, nobody knows. */
function barOf(state: WireJob['state'], figures: JobFigures): { readonly max?: number; readonly value?: number } {
  if (state === 'done') return { max: 1, value: 1 };
  if (figures.planned === null) return {};
  return { max: Math.max(1, figures.planned), value: dealtWith(figures) };
}

/** What it is for, as texts. */
function Selection({ job: { act } }: { readonly job: WireJob }): VNode {
  const parts = Object.entries(act.select)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `${name} ${String(value)}`);
  return <Plain text={parts.length === 0 ? 'all that there were' : parts.join(', ')} />;
}

function Troubles({
  job: { act, state, examples },
  passedOver,
  failed,
}: { readonly job: WireJob } & Pick<WireJob, 'passedOver' | 'failed'>): VNode | null {
  if (examples.length === 0) return null;
  return (
    <section class="left-as-they-were">
      <h2>Left as they were</h2>
      <ul class="plain-list">
        {Object.entries(passedOver).map(([code, count]) => (
          <li key={code}>
            {countText(count)} {passedOverWords(code, state)}
          </li>
        ))}
        {Object.entries(failed).map(([code, count]) => (
          <li key={code} class="fault-text">
            {countText(count)} failed{code === 'other' ? '' : ` (${code})`}
          </li>
        ))}
      </ul>
      <h3>The first of them</h3>
      <ul class="plain-list">
        {examples.map(({ subject, message }) => (
          <li key={subject}>
            <a
              href={hrefTo(
                `${act.kind.startsWith('saga.') ? 'runs' : 'parked'}/${subject.slice(subject.lastIndexOf('/') + 1)}`,
              )}
            >
              <Plain text={subject} />
            </a>{' '}
            <Plain text={message} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function askAbort(id: string, done: () => void): void {
  openAct.value = {
    title: 'Abort the job',
    text: 'It ends for good with what it is at; what it has done stays done.',
    confirm: 'Abort it',
    grave: true,
    path: `jobs/${encodeURIComponent(id)}/abort`,
    body: (_values, reason) => ({ reason }),
    command: (_values, reason) => commandLine(['job', 'abort', id], { reason }),
    done,
  };
}

function askResume(id: string, done: () => void): void {
  openAct.value = {
    title: 'Go on with the job',
    text: 'It goes on where it stopped, here. Nothing is done twice.',
    confirm: 'Go on',
    path: `jobs/${encodeURIComponent(id)}/resume`,
    body: (_values, reason) => ({ reason }),
    command: () => commandLine(['job', 'resume', id]),
    done,
  };
}
