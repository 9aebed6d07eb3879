/**
 * A message as an entry of a stream: which fields it has, and what is made of an entry that somebody else has written. Pure.
 */
import type { OutboundMessage } from '../port.ts';

/** An entry that was read. */
export interface StreamEntry {
  /** As Redis counts: milliseconds, and a number within them. */
  readonly id: string;
  /** What it is ordered by; null: nothing. */
  readonly key: string | null;
  readonly wire: string;
  /** How often it was given to a consumer, this time included. A `later` takes its time back. */
  readonly count: number;
}

/** Field names and values, in turns. */
export type Fields = readonly string[];

/** The arguments for one message, in the order in which the script ADD takes them. A key is told from none by the sign before it. */
export function addArguments({ wire, topic, id, key }: OutboundMessage): readonly string[] {
  return [wire, topic, id, key === null ? '' : `=${key}`];
}

/** What has no envelope is handed out as a JSON text of its fields, so that a consumer parks it where it can be seen. */
export function readEntry(id: string, count: number, fields: Fields): StreamEntry {
  let wire: string | undefined;
  let key: string | null = null;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (fields[i] === 'envelope') wire ??= fields[i + 1];
    else if (fields[i] === 'key') key = fields[i + 1] ?? null;
  }
  return { id, key, wire: wire ?? strangeWire(fields), count };
}

function strangeWire(fields: Fields): string {
  const pairs = Array.from({ length: Math.floor(fields.length / 2) }, (_, i) => [fields[2 * i], fields[2 * i + 1]]);
  return JSON.stringify(Object.fromEntries(pairs));
}

/** Orders ids as their stream does. */
export function compareIds(one: string, other: string): number {
  const [ms = '0', n = '0'] = one.split('-');
  const [otherMs = '0', otherN = '0'] = other.split('-');
  return Number(ms) - Number(otherMs) || Number(n) - Number(otherN);
}
