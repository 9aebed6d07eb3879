/**
 * Events as they stand in the journal, when their values are JSON text already. Pure.
 *
 * The two events that every step has are put together by hand: JSON.stringify of them took a worker three times as long.
 */
import type { JournalEvent } from './events.ts';

type Called = Omit<Extract<JournalEvent, { t: 'called' }>, 't' | 'input'>;

export function calledText(event: Called, input: string | undefined): string {
  const { call, kind, step, until, child, pivot, undoable, version } = event;
  let text = `{"t":"called","call":${JSON.stringify(call)},"kind":"${kind}","step":${JSON.stringify(step)}`;
  if (until !== undefined) text += `,"until":${JSON.stringify(until)}`;
  if (child !== undefined) text += `,"child":"${child}"`;
  if (pivot === true) text += ',"pivot":true';
  if (undoable === true) text += ',"undoable":true';
  if (version !== undefined) text += `,"version":${version}`;
  return input === undefined ? `${text}}` : `${text},"input":${input}}`;
}

export function doneText(call: string, output: string | undefined, version: number | null = null): string {
  let text = `{"t":"done","call":${JSON.stringify(call)}`;
  if (version !== null) text += `,"version":${version}`;
  return output === undefined ? `${text}}` : `${text},"output":${output}}`;
}

/** Any event, with one property whose value is JSON text. */
export function withText(fields: object, name: string, text: string | undefined): string {
  const json = JSON.stringify(fields);
  return text === undefined ? json : `${json.slice(0, -1)},"${name}":${text}}`;
}
