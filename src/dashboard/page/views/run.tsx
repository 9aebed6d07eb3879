/**
 * One run: where it stands, what needs a person, its drawing, its way over time, and what is known of the call that is chosen.
 */
import type { ComponentChildren, VNode } from 'preact';
import { useState } from 'preact/hooks';
import { messageOfError } from '../../../message/encrypted-value.ts';
import { mayAct } from '../app/acts.ts';
import { now } from '../app/clock.ts';
import { useLoaded } from '../app/load.ts';
import { hrefTo, hrefWith, place } from '../app/router.ts';
import { columnsOfRun, runLook } from '../app/story.ts';
import { countText, faultText, several, shortId, spanText } from '../app/texts.ts';
import type { WireRun, WireRunPage } from '../app/wire.ts';
import { CommandText, CopyButton } from '../parts/copy.tsx';
import { Mark, Shape } from '../parts/marks.tsx';
import { Moment } from '../parts/moment.tsx';
import { Fault, Payload, Plain, RevealButton } from '../parts/payload.tsx';
import { SagaDrawing } from '../parts/saga-drawing.tsx';
import { ValueList, Screen } from '../parts/screen.tsx';
import { Answered } from '../parts/states.tsx';
import { Waterfall } from '../parts/waterfall.tsx';
import { CallDetails } from './call-details.tsx';
import { actsOnRun } from './run-acts.ts';
import { ChildRuns } from './runs.tsx';
import { MessagesOfRun } from './sent.tsx';

/** A run that is under way changes from second to second. */
const EVERY_MS = 2_000;

export function RunScreen({ id }: { readonly id: string }): VNode {
  const [over, setOver] = useState(false);
  const loaded = useLoaded<WireRunPage>(`runs/${encodeURIComponent(id)}`, {}, { every: over ? null : EVERY_MS });
  const [revealed, reveal] = useState<WireRunPage | null>(null);
  if (loaded.data !== undefined && loaded.data.run.finishedAt !== null && !over) setOver(true);
  return (
    <Screen
      title={loaded.data === undefined ? 'Run' : `${loaded.data.run.saga}@${loaded.data.run.version}`}
      aside={
        <span class="whole-id">
          <code>{id}</code>
          <CopyButton text={id} what="the id" />
        </span>
      }
    >
      <Answered loaded={loaded} lines={14}>
        {(page) => (
          <RunStory page={withValues(page, revealed)} reload={loaded.reload}>
            <RevealButton path={`runs/${id}`} revealed={(answer) => reveal(answer as WireRunPage)} />
          </RunStory>
        )}
      </Answered>
      <p class="quiet">From the command line:</p>
      <CommandText command={`holdfast saga show ${id}`} />
    </Screen>
  );
}

/** What has been revealed stands still while the rest goes on. */
function withValues(page: WireRunPage, revealed: WireRunPage | null): WireRunPage {
  if (revealed === null) return page;
  const seen = new Map(revealed.timeline.calls.map((call) => [call.call, call]));
  const calls = page.timeline.calls.map((call) => {
    const known = seen.get(call.call);
    return known === undefined ? call : { ...call, input: known.input, output: known.output };
  });
  const { input, result } = revealed.timeline;
  return { ...page, timeline: { ...page.timeline, input, result, calls } };
}

interface RunStoryProps {
  readonly page: WireRunPage;
  readonly reload: () => void;
  readonly children: ComponentChildren;
}

function RunStory({ page, reload, children }: RunStoryProps): VNode {
  const { run, timeline, children: started, runMessages, fill } = page;
  const { query } = place.value;
  const chosen = query.get('call') ?? timeline.stuck?.call ?? null;
  const scale = query.get('scale');
  return (
    <>
      <RunFacts page={page} />
      <Acts page={page} reload={reload} />
      {timeline.stuck === null ? null : <StuckNote stuck={timeline.stuck} />}
      {timeline.calls.length === 0 ? (
        <p class="quiet">Nothing has been called yet.</p>
      ) : (
        <SagaDrawing
          columns={columnsOfRun(timeline)}
          label="The run as a drawing: the way forward, and the way back below it"
          selected={chosen}
          hrefOf={(call) => hrefWith({ call })}
          turned={timeline.compensating !== null}
        />
      )}
      <div class="story">
        <Waterfall timeline={timeline} selected={chosen} scale={scale === 'true' || scale === 'even' ? scale : null} />
        <CallDetails timeline={timeline} chosen={chosen} />
      </div>
      {children}
      <div class="pair-of">
        <Payload title="Input of the run" value={timeline.input} />
        {run.status === 'completed' ? <Payload title="Result" value={timeline.result} /> : null}
        {run.error === null ? null : <Fault title="Error" error={run.error} />}
      </div>
      <MessagesOfRun sent={page.sent} />
      {started.length === 0 ? null : (
        <>
          <h2>Runs that it started</h2>
          <ChildRuns runs={started} />
        </>
      )}
      {runMessages.length === 0 ? null : (
        <>
          <h2>Came in, and no worker has taken it up yet</h2>
          <ul class="plain-list">
            {runMessages.map(({ id, kind, at }) => (
              <li key={id}>
                {kind} <Moment at={at} />
              </li>
            ))}
          </ul>
        </>
      )}
      {fill.percent === 0 || run.finishedAt !== null ? null : (
        <p class="note warn">
          Its journal has {several(fill.events, 'event')} and {several(fill.bytes, 'byte')}, {countText(fill.percent)} %
          or more of what its workers allow. A full one makes no more calls.
        </p>
      )}
    </>
  );
}

function RunFacts({ page: { run, timeline, restarts } }: { readonly page: WireRunPage }): VNode {
  const end = timeline.endedAt ?? (run.finishedAt === null ? now.value : Date.parse(run.finishedAt));
  const took = spanText(end - Date.parse(run.startedAt));
  return (
    <ValueList
      facts={[
        ['State', <Mark key="state" look={runLook(run.status)} />],
        run.key === null
          ? null
          : [
              'Key',
              <a key="key" href={hrefTo('find', { q: run.key })}>
                <Plain text={run.key} />
              </a>,
            ],
        ['Started', <Moment key="started" at={run.startedAt} />],
        [run.finishedAt === null ? 'For' : 'Took', took],
        ['Pivot', run.pivoted ? 'passed: only forward' : 'not passed'],
        run.reason === null
          ? null
          : ['Compensated, because', <Why key="why" reason={run.reason} compensating={timeline.compensating} />],
        run.worker === null ? null : ['Worker', run.worker.name ?? 'one that is gone'],
        run.lost === 0 ? null : ['Workers lost', countText(run.lost)],
        run.deadlineAt === null || run.finishedAt !== null
          ? null
          : ['Deadline', <Moment key="deadline" at={run.deadlineAt} />],
        run.wakeAt === null || run.finishedAt !== null ? null : ['Wakes', <Moment key="wake" at={run.wakeAt} />],
        run.parent === null ? null : ['Started by', <ParentLink key="parent" parent={run.parent} />],
        restarts.of === null ? null : ['In place of', <RunLink key="of" id={restarts.of} />],
        restarts.as === null ? null : ['Started again as', <RunLink key="as" id={restarts.as} />],
        restarts.keyGone === null ? null : ['Key of that run now', <Plain key="gone" text={restarts.keyGone} />],
      ]}
    />
  );
}

function RunLink({ id }: { readonly id: string }): VNode {
  return <a href={hrefTo(`runs/${id}`)}>{shortId(id)}</a>;
}

function ParentLink({ parent }: { readonly parent: NonNullable<WireRun['parent']> }): VNode {
  return <a href={hrefTo(`runs/${parent.id}`, { call: parent.call })}>call {parent.call} of another run</a>;
}

function Acts({ page, reload }: { readonly page: WireRunPage; readonly reload: () => void }): VNode | null {
  const buttons = actsOnRun(page, reload);
  if (buttons.length === 0) return null;
  if (!mayAct.value) return <p class="quiet">An operator can act on this run.</p>;
  return (
    <div class="acts" role="group" aria-label="Acts">
      {buttons.map(({ name, strong, open }) => (
        <button key={name} type="button" class={strong ? 'button strong' : 'button'} onClick={open}>
          {name}
        </button>
      ))}
    </div>
  );
}

function StuckNote({ stuck }: { readonly stuck: NonNullable<WireRunPage['timeline']['stuck']> }): VNode {
  const { at, advice, error } = stuck;
  return (
    <section class="note bad stuck" aria-label="What it is stuck at">
      <Shape name="square" />
      <div>
        <p>
          <b>Stuck for {spanText(now.value - at)}.</b> {advice.meaning}
        </p>
        <p class="fault-text">
          <Plain text={faultText(error)} />
        </p>
        <ol class="ways">
          {advice.ways.map(({ when, command }) => (
            <li key={command}>
              {when}:
              <CommandText command={command} />
            </li>
          ))}
        </ol>
      </div>
    </section>
  );
}

interface WhyProps {
  readonly reason: string;
  readonly compensating: WireRunPage['timeline']['compensating'];
}

/** 'failed: sold out', 'cancelled by ada'. */
function Why({ reason, compensating }: WhyProps): VNode {
  const error = compensating?.error ?? null;
  const actor = compensating?.actor ?? null;
  const said = `${error === null ? '' : `: ${messageOfError(error)}`}${actor === null ? '' : ` by ${actor}`}`;
  return (
    <>
      {reason}
      <Plain text={said} />
    </>
  );
}
