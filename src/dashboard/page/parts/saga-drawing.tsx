/**
 * A saga, declared or run, as a drawing: the way forward above, the way back mirrored below it, each compensation under the call that it
 * belongs to. Plain SVG; each box is a link to what is known of its call.
 */
import type { VNode } from 'preact';
import type { Box, DrawnColumn } from '../app/story.ts';
import { ShapePath } from './marks.tsx';

const [BOX_W, BOX_H, GAP_X, GAP_Y, EDGE] = [132, 42, 26, 8, 10];
/** Between the lowest box of the way forward and the highest of the way back. */
const BETWEEN = 34;
const LONGEST = 13;

interface SagaDrawingProps {
  readonly columns: readonly DrawnColumn[];
  readonly label: string;
  readonly selected: string | null;
  /** Null: boxes lead nowhere. */
  readonly hrefOf: ((call: string) => string) | null;
  /** The run has turned back, or might: then the turn is drawn. */
  readonly turned: boolean;
}

interface Placed {
  readonly box: Box;
  readonly x: number;
  readonly y: number;
  readonly backY: number;
}

export function SagaDrawing({ columns, label, selected, hrefOf, turned }: SagaDrawingProps): VNode {
  const rows = Math.max(1, ...columns.map((column) => (column.t === 'calls' ? column.boxes.length : 1)));
  const hasBack = columns.some((column) => column.t === 'calls' && column.boxes.some(({ back }) => back !== null));
  const laneH = rows * BOX_H + (rows - 1) * GAP_Y;
  const backTop = EDGE + laneH + BETWEEN;
  const width = EDGE * 2 + columns.length * (BOX_W + GAP_X) - GAP_X + (turned ? 30 : 0);
  const height = (hasBack ? backTop + laneH : EDGE + laneH) + EDGE + 6;
  const xOf = (index: number): number => EDGE + index * (BOX_W + GAP_X);
  const placed: Placed[] = columns.flatMap((column, index) =>
    column.t === 'gap'
      ? []
      : column.boxes.map((box, row) => ({
          box,
          x: xOf(index),
          y: EDGE + row * (BOX_H + GAP_Y),
          // Mirrored: what stands highest above stands lowest below.
          backY: backTop + (column.boxes.length - 1 - row) * (BOX_H + GAP_Y),
        })),
  );
  return (
    <div class="drawing" role="group" aria-label={label} tabIndex={0}>
      <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
        <Ways columns={columns} xOf={xOf} backTop={backTop} turned={turned && hasBack} />
        {placed.map(({ box, x, y, backY }) =>
          box.back === null ? null : (
            <path key={box.call} class="pair" d={`M${x + 14 + (y - EDGE) / 6} ${y + BOX_H}V${backY}`} />
          ),
        )}
        {placed.map((each) => (
          <BoxPair
            key={each.box.call}
            placed={each}
            selected={selected === each.box.call}
            href={hrefOf?.(each.box.call)}
          />
        ))}
        {columns.map((column, index) =>
          column.t === 'gap' ? (
            <text key="gap" class="gap" x={xOf(index) + BOX_W / 2} y={EDGE + BOX_H / 2 + 4}>
              … {column.calls} more …
            </text>
          ) : null,
        )}
      </svg>
    </div>
  );
}

interface WaysProps {
  readonly columns: readonly DrawnColumn[];
  readonly xOf: (index: number) => number;
  readonly backTop: number;
  readonly turned: boolean;
}

/** The lines: forward from left to right, back from right to left, and the turn between them. */
function Ways({ columns, xOf, backTop, turned }: WaysProps): VNode {
  const mid = EDGE + BOX_H / 2;
  const backMid = backTop + BOX_H / 2;
  const backs = columns.flatMap((column, index) =>
    column.t === 'calls' && column.boxes.some(({ back }) => back !== null) ? [index] : [],
  );
  const lastX = xOf(columns.length - 1) + BOX_W;
  const lastBack = backs.at(-1);
  return (
    <g class="ways">
      {columns.slice(1).map((column, index) => {
        const from = xOf(index) + BOX_W;
        const [before] = [columns[index]];
        const pivot = before?.t === 'calls' && before.boxes.some((box) => box.pivot);
        return (
          <g key={index}>
            <path class="way" d={`M${from} ${mid}H${from + GAP_X - 2}m-5 -4 5 4-5 4`} />
            {column.t === 'calls' && column.boxes.length > 1 ? (
              <path
                class="way"
                d={`M${from + GAP_X / 2} ${mid}V${mid + (column.boxes.length - 1) * (BOX_H + GAP_Y)}h${GAP_X / 2}`}
              />
            ) : null}
            {pivot ? <path class="pivot" d={`M${from + GAP_X / 2} 2V${backTop - 6}`} /> : null}
          </g>
        );
      })}
      {backs.slice(1).map((index, place) => {
        const to = xOf(backs[place] ?? 0) + BOX_W;
        return <path key={index} class="way back" d={`M${xOf(index)} ${backMid}H${to + 2}m5 -4-5 4 5 4`} />;
      })}
      {turned && lastBack !== undefined ? (
        <path
          class="way back"
          d={`M${lastX} ${mid}h8c24 0 24 ${backMid - mid} 0 ${backMid - mid}H${xOf(lastBack) + BOX_W + 2}m5 -4-5 4 5 4`}
        />
      ) : null}
    </g>
  );
}

interface BoxPairProps {
  readonly placed: Placed;
  readonly selected: boolean;
  readonly href: string | undefined;
}

function BoxPair({ placed: { box, x, y, backY }, selected, href }: BoxPairProps): VNode {
  const { call, kind, look, pivot, back } = box;
  // What is not written in the boxes.
  const unseen = [short(call) === call ? '' : call, look?.word ?? ''].filter((each) => each !== '').join(', ');
  const drawn = (
    <>
      {unseen === '' ? null : <title>{unseen}</title>}
      <g class={`box ${look?.tone ?? 'plain'}${pivot ? ' is-pivot' : ''}`} transform={`translate(${x} ${y})`}>
        <rect width={BOX_W} height={BOX_H} rx="5" />
        {look === null ? null : (
          <g transform="translate(9 8)">
            <ShapePath name={look.shape} />
          </g>
        )}
        <text class="name" x={look === null ? 10 : 27} y="18">
          {short(call)}
        </text>
        <text class="kind" x={look === null ? 10 : 27} y="33">
          {pivot ? `${kind}, pivot` : kind}
        </text>
      </g>
      {back === null ? null : (
        <g class={`box back ${back.look?.tone ?? 'plain'}`} transform={`translate(${x} ${backY})`}>
          <rect width={BOX_W} height={BOX_H} rx="5" />
          {back.look === null ? null : (
            <g transform="translate(9 15)">
              <ShapePath name={back.look.shape} />
            </g>
          )}
          <text class="kind" x={back.look === null ? 10 : 27} y="25">
            {back.look?.word ?? `compensate`}
          </text>
        </g>
      )}
    </>
  );
  if (href === undefined) return <g>{drawn}</g>;
  return (
    <a href={href} class={selected ? 'selected' : ''} {...(selected ? { 'aria-current': 'true' as const } : {})}>
      {drawn}
    </a>
  );
}

function short(name: string): string {
  return name.length <= LONGEST ? name : `${name.slice(0, LONGEST - 1)}…`;
}
