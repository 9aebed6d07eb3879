/**
 * What can be done to parked messages, as acts for the dialog.
 */
import { commandLine } from '../../server/commands.ts';
import { openAct } from '../app/acts.ts';
import type { WireParked } from '../app/wire.ts';

type PlaceOf = Pick<WireParked, 'kind' | 'where'>;

const placeFlag = ({ kind, where }: PlaceOf): { readonly subscription?: string; readonly consumer?: string } =>
  kind === 'relay' ? { subscription: where } : { consumer: where };

export function askRetry(parked: WireParked, done: () => void): void {
  const { id, kind, where, topic } = parked;
  const selection = { id, ...placeFlag(parked) };
  openAct.value = {
    title: 'Try it again now',
    text: `${topic} is ${kind === 'relay' ? 'published by' : 'given to'} ${where} again within a second or so, with what waits behind it, in order.`,
    confirm: 'Try again',
    path: 'parked/retry',
    body: (_values, reason) => ({ selection, reason }),
    command: (_values, reason) => commandLine(['parked', 'retry', id], { ...placeFlag(parked), reason }),
    done,
  };
}

export function askRetryAll(place: PlaceOf, done: () => void): void {
  const selection = { all: true, ...placeFlag(place) };
  openAct.value = {
    title: `Try all of ${place.where} again`,
    text: `Every failed message that is parked at ${place.where}, dead letters included, is due now; each key in its order.`,
    confirm: 'Try all again',
    path: 'parked/retry',
    body: (_values, reason) => ({ selection, reason }),
    command: (_values, reason) => commandLine(['parked', 'retry'], { all: true, ...placeFlag(place), reason }),
    done,
  };
}

export function askDiscard(parked: WireParked, done: () => void): void {
  const { id, kind, where, topic } = parked;
  const selection = { id, ...placeFlag(parked) };
  openAct.value = {
    title: 'Give it up for good',
    text: `${topic} will not be ${kind === 'relay' ? 'published by' : 'handled by'} ${where}. What waited behind it goes on without it.`,
    confirm: 'Discard it',
    grave: true,
    path: 'parked/discard',
    body: (_values, reason) => ({ selection, reason }),
    command: (_values, reason) => commandLine(['parked', 'discard', id], { ...placeFlag(parked), reason }),
    done,
  };
}
