/**
 * Small charts of the last minutes: one or two lines, an objective where there is one, and the value under the pointer. Plain SVG, which
 * follows the style sheet, so light and dark cost nothing.
 */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { exactTime, spanText } from '../app/texts.ts';

export interface ChartPoint {
  readonly at: number;
  readonly value: number;
  /** A second line, to compare with. */
  readonly other?: number;
}

interface SmallChartProps {
  readonly title: string;
  readonly points: readonly ChartPoint[];
  readonly text: (value: number) => string;
  /** How the lines are called, when there are two. */
  readonly names?: readonly [string, string];
  readonly objective?: number;
}

const [WIDTH, HEIGHT] = [300, 64];

export function SmallChart({ title, points, text, names, objective }: SmallChartProps): VNode {
  const [at, setAt] = useState<number | null>(null);
  const values = points.flatMap(({ value, other = 0 }) => [value, other]);
  const top = Math.max(
    ...values,
    objective !== undefined && Math.max(...values) > objective / 4 ? objective * 1.1 : 0,
    1e-9,
  );
  const x = (index: number): number => (points.length < 2 ? WIDTH : (index / (points.length - 1)) * WIDTH);
  const y = (value: number): number => HEIGHT - 1 - (value / top) * (HEIGHT - 4);
  const line = (pick: (point: ChartPoint) => number): string =>
    points
      .map((point, index) => `${index === 0 ? 'M' : 'L'}${x(index).toFixed(1)} ${y(pick(point)).toFixed(1)}`)
      .join('');
  const current = points[at ?? points.length - 1];
  const first = points[0];
  const span = first === undefined ? 0 : (points.at(-1)?.at ?? 0) - first.at;
  const both = names !== undefined;
  const reading =
    current === undefined
      ? 'nothing yet'
      : both
        ? `${text(current.value)} ${names[0]}, ${text(current.other ?? 0)} ${names[1]}`
        : text(current.value);
  return (
    <figure class="chart">
      <figcaption>
        <span>{title}</span>
        <output>
          {reading}
          {at !== null && current !== undefined ? ` at ${exactTime(current.at).slice(11, 19)}` : ''}
        </output>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${title} over the last ${spanText(span)}: now ${reading}, highest ${text(Math.max(0, ...values))}`}
        onPointerMove={(event) => {
          const { left, width } = event.currentTarget.getBoundingClientRect();
          setAt(
            Math.min(
              points.length - 1,
              Math.max(0, Math.round(((event.clientX - left) / width) * (points.length - 1))),
            ),
          );
        }}
        onPointerLeave={() => setAt(null)}
      >
        <path class="base" d={`M0 ${HEIGHT - 1}H${WIDTH}`} />
        {objective !== undefined && objective <= top ? (
          <path class="objective" d={`M0 ${y(objective)}H${WIDTH}`} />
        ) : null}
        {points.length < 2 ? null : (
          <>
            <path class="area" d={`${line(({ value }) => value)}L${WIDTH} ${HEIGHT - 1}L0 ${HEIGHT - 1}Z`} />
            {both ? <path class="curve other" d={line(({ other = 0 }) => other)} /> : null}
            <path class="curve" d={line(({ value }) => value)} />
          </>
        )}
        {at === null ? null : <path class="cursor" d={`M${x(at)} 0V${HEIGHT}`} />}
      </svg>
      <div class="axis">
        <span>{span === 0 ? '' : `${spanText(span)} ago`}</span>
        <span>{objective !== undefined && objective <= top ? `┄ objective ${text(objective)}` : ''}</span>
        <span>now</span>
      </div>
    </figure>
  );
}
