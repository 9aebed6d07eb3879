/**
 * What a list says when its time was up before it was full: what is not indexed is looked through.
 */
import type { Looked } from '../../operations/reads/page-walk.ts';
import { formatCount, formatTime } from './format.ts';

/** A person waits longer than a page of a dashboard. */
export const LOOK_FOR = '2s';

/** How far it looked, and how to go on. Pure. */
export function formatLooked({ rows, reached }: Looked, what: string, cursor: string | null): string {
  const back = reached === null ? '' : `, as far as ${formatTime(reached)}`;
  const further = cursor === null ? '' : ` Further: the same with --cursor ${cursor}`;
  return `Looked through ${formatCount(rows)} ${what}${back}.${further}`;
}
