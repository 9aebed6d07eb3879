/**
 * What stands below a list whose time was up before it was full: how far it looked, and the way on.
 */
import type { VNode } from 'preact';
import { Shape } from './marks.tsx';

interface FarNoteProps {
  /** How far. */
  readonly far: string;
  /** Nothing that fits was found so far. */
  readonly isEmpty: boolean;
  readonly onwards: string;
}

export function FarNote({ far, isEmpty, onwards }: FarNoteProps): VNode {
  return (
    <div class="note warn">
      <Shape name="half" />
      <div role="status">
        {isEmpty ? <b>Nothing that fits so far. </b> : null}
        {far} <a href={onwards}>Go on from there</a>
      </div>
    </div>
  );
}
