/**
 * Jobs in words: what one does, and how far it is. Pure.
 */
import type { Look } from './story.ts';
import { countText } from './texts.ts';
import type { WireJob } from './wire.ts';

const DOES: Readonly<Record<WireJob['act']['kind'], string>> = {
  'parked.retry': 'Retry parked messages',
  'parked.discard': 'Discard parked messages',
  'saga.retry': 'Retry stuck runs',
  'saga.cancel': 'Cancel runs',
  'saga.skip': 'Skip compensations',
  'saga.resolve': 'Resolve stuck runs',
};

export const jobDoes = (kind: WireJob['act']['kind']): string => DOES[kind];

/** How far one is, of a list or as it happens. */
export interface JobFigures {
  readonly done: number;
  readonly planned: number | null;
  readonly passedOver: number;
  readonly failed: number;
  readonly runner: string | null;
}

export function figuresOf({ done, planned, passedOver, failed, runner }: WireJob): JobFigures {
  return { done, planned, passedOver: sumOf(passedOver), failed: sumOf(failed), runner };
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

export const dealtWith = ({ done, passedOver, failed }: JobFigures): number => done + passedOver + failed;

/** '1,200 of 5,000 done, 3 passed over'. */
export function progressText(figures: JobFigures): string {
  const { done, planned, passedOver, failed } = figures;
  return [
    `${countText(done)}${planned === null ? '' : ` of ${countText(planned)}`} done`,
    ...(passedOver > 0 ? [`${countText(passedOver)} passed over`] : []),
    ...(failed > 0 ? [`${countText(failed)} failed`] : []),
  ].join(', ');
}

export function jobLook(state: WireJob['state'], runner: string | null): Look {
  if (state === 'aborted') return { tone: 'off', shape: 'cross', word: 'aborted' };
  if (state === 'done') return { tone: 'ok', shape: 'check', word: 'done' };
  if (runner === null) return { tone: 'warn', shape: 'bars', word: 'nobody works on it' };
  return { tone: 'busy', shape: 'half', word: 'under way' };
}

/** Why some were passed over, by the code of the refusal. */
export function passedOverWords(code: string, state: WireJob['state']): string {
  if (code === 'HF_NOT_FOUND') return 'were gone, or did not fit any more';
  if (code !== 'HF_LOCK_WAIT') return `had moved on (${code})`;
  return state === 'open'
    ? 'were being worked on; it comes back to them at the end'
    : 'were being worked on, each time it came back to them; run it again for those that are still there';
}
