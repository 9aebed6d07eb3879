/**
 * A run over time: a bar for each call, the way forward above, the way back below, with waits, attempts, timers and what people did at
 * their places.
 */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { visible } from '../../../runtime/terminal-text.ts';
import { now } from '../app/clock.ts';
import { hrefWith } from '../app/router.ts';
import { betterScale, timeScale, type ScaleKind, type TimeScale } from '../app/scale.ts';
import {
  attemptWords,
  backLook,
  callLook,
  partsOfBar,
  rowsOfRun,
  waitWords,
  type StoryRow,
  type WireCall,
  type WireCompensation,
} from '../app/story.ts';
import { spanText } from '../app/texts.ts';
import type { WireTimeline } from '../app/wire.ts';
import { Shape } from './marks.tsx';

/** Runs of thousands of calls are drawn whole only when asked for. */
const MOST_ROWS = 300;
/** Behind this place of the axis a mark has no room for its time. */
const LAST_TEXT = 0.86;

interface WaterfallProps {
  readonly timeline: WireTimeline;
  readonly selected: string | null;
  /** Null: whichever shows more. */
  readonly scale: ScaleKind | null;
}

export function Waterfall({ timeline, selected, scale }: WaterfallProps): VNode {
  const [whole, showWhole] = useState(false);
  const rows = rowsOfRun(timeline);
  // Nothing goes on in a run that is stuck.
  const end = timeline.endedAt ?? timeline.stuck?.at ?? now.value;
  const kind = scale ?? betterScale(end - timeline.startedAt, spansOf(timeline, end));
  const axis = timeScale(kind, momentsOf(timeline, end));
  const drawn = whole ? rows : rows.slice(0, MOST_ROWS);
  return (
    <section class="waterfall" aria-label="Over time">
      <header>
        <h2>Over time</h2>
        <a class="button plain small" href={hrefWith({ scale: kind === 'true' ? 'even' : 'true' })}>
          {kind === 'true' ? 'Shorten long waits' : 'Draw to scale'}
        </a>
      </header>
      <div class="ruler" aria-hidden="true">
        <span />
        <div class="lane">
          {axis.marks.map(({ place, ms }) => (
            <span key={ms} class="tick" style={{ left: `${place * 100}%` }}>
              {place > LAST_TEXT ? '' : ms === 0 ? '0' : `+${spanText(ms)}`}
            </span>
          ))}
        </div>
        <span />
      </div>
      <ol>
        {drawn.map((row, index) => (
          <Line key={index} row={row} axis={axis} end={end} selected={selected} />
        ))}
      </ol>
      {rows.length <= drawn.length ? null : (
        <button type="button" class="button" onClick={() => showWhole(true)}>
          Show all {rows.length} lines
        </button>
      )}
    </section>
  );
}

interface LineProps {
  readonly row: StoryRow;
  readonly axis: TimeScale;
  readonly end: number;
  readonly selected: string | null;
}

function Line({ row, axis, end, selected }: LineProps): VNode {
  switch (row.t) {
    case 'call':
      return <CallLine call={row.call} axis={axis} end={end} selected={selected === row.call.call} />;
    case 'back':
      return (
        <BackLine compensation={row.compensation} axis={axis} end={end} selected={selected === row.compensation.call} />
      );
    case 'remaining':
      return (
        <li class={`row remaining${selected === row.call ? ' selected' : ''}`}>
          <span class="who wait">
            <Shape name="ring" />
            <a href={hrefWith({ call: row.call })}>{visible(row.call)}</a>
          </span>
          <span class="lane quiet">still to be compensated</span>
          <span class="took" />
        </li>
      );
    case 'pivot':
      return <li class="row divide pivot">pivot done: from here on only forward</li>;
    case 'turn':
      return <li class="row divide turn">{row.text}</li>;
    case 'note':
      return (
        <li class={`row remark ${row.tone}`}>
          <span class="lane">
            <span class="pin" style={{ left: `${axis.at(row.at) * 100}%` }} />
          </span>
          <span>{visible(row.text)}</span>
        </li>
      );
  }
}

interface BarLineProps {
  readonly axis: TimeScale;
  readonly end: number;
  readonly selected: boolean;
}

function CallLine({ call, axis, end, selected }: BarLineProps & { readonly call: WireCall }): VNode {
  const look = callLook(call);
  const open =
    call.endedAt === null && (look.word === 'running' || look.word === 'retrying' || look.word === 'waiting');
  const till = call.endedAt ?? (open ? end : call.startedAt);
  const waiting = call.kind === 'sleep' || call.kind === 'wait';
  const wait = waitWords(call, now.value);
  return (
    <li class={`row${selected ? ' selected' : ''}`}>
      <span class={`who ${look.tone}`}>
        <Shape name={look.shape} />
        <a href={hrefWith({ call: call.call })} {...(selected ? { 'aria-current': 'true' as const } : {})}>
          {visible(call.call)}
        </a>
        <span class="quiet">
          {call.kind}
          {call.pivot ? ', pivot' : ''}
        </span>
      </span>
      <span class="lane">
        <Bar axis={axis} of={call} till={till} look={`${look.tone}${waiting ? ' waits' : ''}${open ? ' open' : ''}`} />
      </span>
      <span class="took">
        {open || call.endedAt !== null ? `${spanText(till - call.startedAt)}${open ? '…' : ''}` : ''}
        {call.attempts > 1 ? <b class="tries" title={`${call.attempts} attempts`}>{` ×${call.attempts}`}</b> : null}
        <span class="word">{wait === null ? look.word : `${look.word} ${wait}`}</span>
      </span>
    </li>
  );
}

function BackLine({
  compensation,
  axis,
  end,
  selected,
}: BarLineProps & { readonly compensation: WireCompensation }): VNode {
  const look = backLook(compensation);
  const open = compensation.endedAt === null;
  const till = compensation.endedAt ?? end;
  return (
    <li class={`row back${selected ? ' selected' : ''}`}>
      <span class={`who ${look.tone}`}>
        <Shape name={look.shape} />
        <a href={hrefWith({ call: compensation.call })}>{visible(compensation.call)}</a>
        <span class="quiet">back{compensation.round > 1 ? `, round ${compensation.round}` : ''}</span>
      </span>
      <span class="lane">
        <Bar axis={axis} of={compensation} till={till} look={`${look.tone} backwards${open ? ' open' : ''}`} />
      </span>
      <span class="took">
        {compensation.state === 'skipped' ? '' : `${spanText(till - compensation.startedAt)}${open ? '…' : ''}`}
        {compensation.attempts > 1 ? (
          <b class="tries" title={`${compensation.attempts} attempts`}>{` ×${compensation.attempts}`}</b>
        ) : null}
        <span class="word">{look.word}</span>
      </span>
    </li>
  );
}

interface BarProps {
  readonly axis: TimeScale;
  readonly of: Pick<WireCall, 'startedAt' | 'failedAttempts'>;
  readonly till: number;
  readonly look: string;
}

/** Whole when all went well; else the attempts, with a mark where each failed, and thin the waits between them. */
function Bar({ axis, of, till, look }: BarProps): VNode {
  const parts = partsOfBar(of, till);
  return (
    <>
      {parts.map(({ t, from, to }, index) => {
        const left = axis.at(from);
        const open = index === parts.length - 1 ? '' : ' closed';
        return (
          <span
            key={index}
            class={`bar ${look}${t === 'pause' ? ' pause' : ''}${open}`}
            style={{ left: `${left * 100}%`, width: `${Math.max(0, axis.at(to) - left) * 100}%` }}
          />
        );
      })}
      {parts.map(({ to, failed }, index) =>
        failed === null ? null : (
          <span
            key={`failed-${index}`}
            class={`tried${failed.uncounted === null ? '' : ' free'}`}
            style={{ left: `${axis.at(to) * 100}%` }}
            title={visible(attemptWords(failed))}
          />
        ),
      )}
    </>
  );
}

function spansOf({ calls, compensations }: WireTimeline, end: number): readonly number[] {
  return [...calls, ...compensations].map(({ startedAt, endedAt }) => (endedAt ?? end) - startedAt);
}

function momentsOf({ startedAt, calls, compensations, notes }: WireTimeline, end: number): readonly number[] {
  const bars = [...calls, ...compensations].flatMap((each) => [
    each.startedAt,
    each.endedAt ?? end,
    ...partsOfBar(each, each.endedAt ?? end).map(({ to }) => to),
  ]);
  return [startedAt, ...bars, ...notes.map(({ at }) => at), end];
}
