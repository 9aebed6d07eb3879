/**
 * A time: how long ago, with the exact one under the pointer and wherever the row or link that it belongs to has the focus.
 */
import type { VNode } from 'preact';
import { now } from '../app/clock.ts';
import { times } from '../app/settings.ts';
import { agoText, exactTime } from '../app/texts.ts';

interface MomentProps {
  /** ISO text, or milliseconds since the epoch. */
  readonly at: string | number;
}

export function Moment({ at }: MomentProps): VNode {
  const ms = typeof at === 'number' ? at : Date.parse(at);
  const exact = exactTime(ms);
  const ago = agoText(ms, now.value);
  const shown = times.value === 'exact' ? exact : ago;
  return (
    <time class="moment" dateTime={new Date(ms).toISOString()} data-other={times.value === 'exact' ? ago : exact}>
      {shown}
    </time>
  );
}
