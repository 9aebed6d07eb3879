/**
 * Where there are several databases: the name of one beside what is in it, and what stands where one does not answer.
 */
import type { VNode } from 'preact';
import type { ApiFailure } from '../../server/contract.ts';
import { Shape } from './marks.tsx';

export function DatabaseName({ name }: { readonly name: string }): VNode {
  return <span class="database-name">{name}</span>;
}

interface SilentProps {
  readonly database: string;
  readonly failure: ApiFailure;
}

export function SilentNote({ database, failure }: SilentProps): VNode {
  return (
    <div class="note warn" role="status">
      <Shape name="half" />
      <div>
        <p>
          <b>{database} does not answer</b>: what it knows is missing here.
        </p>
        <p class="quiet">{failure.message}</p>
      </div>
    </div>
  );
}
