/**
 * Counts over time as a row of small bars, the newest at the right. What it shows stands in its label as well.
 */
import type { VNode } from 'preact';
import { countText } from '../app/texts.ts';

const [STEP, WIDTH, HEIGHT] = [5, 4, 18];

export function Spark({ counts, each }: { readonly counts: readonly number[]; readonly each: string }): VNode {
  const top = Math.max(1, ...counts);
  const heightOf = (count: number): number => (count === 0 ? 1 : 3 + (count / top) * (HEIGHT - 3));
  return (
    <svg
      class="spark"
      width={counts.length * STEP}
      height={HEIGHT}
      viewBox={`0 0 ${counts.length * STEP} ${HEIGHT}`}
      role="img"
      aria-label={`each ${each}, the newest last: ${counts.map(countText).join(', ')}`}
    >
      {counts.map((count, index) => (
        <rect
          key={index}
          class={count === 0 ? 'none' : ''}
          x={index * STEP}
          y={HEIGHT - heightOf(count)}
          width={WIDTH}
          height={heightOf(count)}
        />
      ))}
    </svg>
  );
}
