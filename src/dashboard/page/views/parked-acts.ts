/**
 * What can be done to parked messages, as acts for the dialog.
 */
import { commandLine } from '../../server/commands.ts';
import { openAct } from '../app/acts.ts';
import type { WireParked } from '../app/wire.ts';
import type { ManyAct } from './many-acts.tsx';

type PlaceOf = Pick<WireParked, 'kind' | 'where'>;

/** Where it is parked, as the API and the command line take it. */
export const placeFlag = ({ kind, where }: PlaceOf): { readonly subscription?: string; readonly consumer?: string } =>
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

type Selection = Readonly<Record<string, unknown>>;

/** Of those that failed; what is left out does not narrow. */
export function retryMany(select: Selection): ManyAct {
  return {
    on: 'parked',
    act: 'retry',
    select,
    title: 'Try all of them again',
    text: 'Each is due at once, dead letters too, and what waits behind it goes on in order. What is parked from now on is left alone.',
    verb: 'Retry',
  };
}

export function discardMany(select: Selection): ManyAct {
  return {
    on: 'parked',
    act: 'discard',
    select,
    title: 'Give all of them up for good',
    text: 'None of them will be published or handled; what waits behind them goes on without them. What is parked from now on is left alone.',
    verb: 'Discard',
    grave: true,
  };
}
