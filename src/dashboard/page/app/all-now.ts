/**
 * How several databases are, out of what each said last: what needs a person in any of them, and a line for each. Pure.
 */
import { attentionOf, flowOf, type AttentionItem, type FlowFigures, type Tone } from './attention.ts';
import { several, spanText } from './texts.ts';
import type { WireDatabaseNow } from './wire.ts';

/** What one said last, and when it was heard; null: nothing yet. */
export type Heard = (WireDatabaseNow & { readonly heardAt: number }) | null;

export interface DatabaseLine {
  readonly name: string;
  readonly tone: Tone;
  readonly word: string;
  /** Null: it does not answer, or has not yet. */
  readonly flow: FlowFigures | null;
}

/** Where nothing came for so long, it is not known how it is; readings that take long are half a minute apart. */
const OLD_MS = 75_000;
/** After so long without a first word, it is said that there is none. */
const FIRST_MS = 6_000;

/** `waitedMs`: since the page began to listen. */
export function lineOf(name: string, heard: Heard, { nowMs, waitedMs }: WaitSoFar): DatabaseLine {
  if (heard === null)
    return waitedMs < FIRST_MS
      ? { name, tone: 'wait', word: 'asking', flow: null }
      : { name, tone: 'bad', word: 'does not answer', flow: null };
  const { answer, heardAt } = heard;
  if (answer === null) return { name, tone: 'bad', word: 'does not answer', flow: null };
  const flow = flowOf(answer);
  if (nowMs - heardAt > OLD_MS) return { name, tone: 'warn', word: `silent for ${spanText(nowMs - heardAt)}`, flow };
  const needed = attentionOf(answer);
  const bad = needed.filter(({ tone }) => tone === 'bad').length;
  if (needed.length === 0) return { name, tone: 'ok', word: 'well', flow };
  return { name, tone: bad > 0 ? 'bad' : 'warn', word: several(needed.length, 'thing'), flow };
}

export interface WaitSoFar {
  readonly nowMs: number;
  readonly waitedMs: number;
}

/** What needs a person, in whichever database, worst first; `database`: where. */
export function attentionOfAll(
  names: readonly string[],
  heard: ReadonlyMap<string, NonNullable<Heard>>,
  waiting: WaitSoFar,
): readonly (AttentionItem & { readonly database: string })[] {
  const items = names.flatMap((database) => {
    const said = heard.get(database) ?? null;
    const { flow, word } = lineOf(database, said, waiting);
    const silent = flow === null && word !== 'asking';
    const why = said?.failure?.message ?? 'Nothing has been heard of it.';
    const ofSilence = silent
      ? [{ tone: 'bad' as const, what: 'The database does not answer', why, path: '', query: {} }]
      : [];
    const ofAnswer = said === null || said.answer === null ? [] : attentionOf(said.answer);
    return [...ofSilence, ...ofAnswer].map((item) => ({ ...item, database }));
  });
  return [...items.filter(({ tone }) => tone === 'bad'), ...items.filter(({ tone }) => tone === 'warn')];
}
