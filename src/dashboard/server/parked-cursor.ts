/**
 * Cursors of the list of parked messages: the place of the last one of a page, as a text that can stand in an address. Pure.
 */
import { z } from 'zod';
import { isUuid } from '../../message/id.ts';
import type { ParkedPlaceInList } from '../../operations/parked/parked.ts';
import { cursor } from './parameters.ts';

/** 'consumer:812:0199f3a0-…:billing': the name of the place may have colons in it. */
export function writeParkedCursor({ kind, where, id, position }: ParkedPlaceInList): string {
  return `${kind}:${position}:${id}:${where}`;
}

export const parkedCursor = cursor.transform((given, context): ParkedPlaceInList => {
  const [, kind, position = '', id = '', where = ''] = /^(relay|consumer):(\d{1,15}):([^:]+):(.+)$/s.exec(given) ?? [];
  if ((kind === 'relay' || kind === 'consumer') && isUuid(id)) return { kind, position: Number(position), id, where };
  context.addIssue({ code: 'custom', message: 'take it as a page of the list gave it' });
  return z.NEVER;
});
