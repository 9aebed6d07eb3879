/**
 * Finds all destinations of a prefix, with their state: for `holdfast doctor` and `holdfast status`, which are given none.
 */
import type { FoundQueue, FoundQueues } from '../port.ts';
import { settledOrAborted } from '../shared.ts';
import { unavailable } from './errors.ts';
import { openLink } from './link.ts';
import { destinationOf, namesOf } from './names.ts';
import { Notes } from './notes.ts';
import type { NatsSettings } from './options.ts';
import { readDestinationState } from './queue-state.ts';

/** More are not of use to anybody who reads. */
const MOST = 500;

/** Rejects with HF_TRANSPORT_UNAVAILABLE. */
export async function natsQueues(settings: NatsSettings, signal: AbortSignal): Promise<FoundQueues> {
  try {
    const link = await openLink(settings, new Set(), signal);
    try {
      return await settledOrAborted(findQueues({ link, notes: new Notes(link, settings) }, settings), signal);
    } finally {
      link.cut('looked at');
    }
  } catch (error) {
    throw unavailable('does not say what it holds', error);
  }
}

async function findQueues(
  open: Parameters<typeof readDestinationState>[0],
  settings: NatsSettings,
): Promise<FoundQueues> {
  const queues: FoundQueue[] = [];
  for await (const info of open.link.api.streams.list()) {
    const destination = destinationOf(settings.prefix, info.config.name);
    if (destination === null) continue;
    if (queues.length === MOST) return { queues, complete: false };
    const names = namesOf(settings.prefix, destination);
    queues.push({ destination, state: await readDestinationState(open, names, { settings, owner: null, info }) });
  }
  queues.sort((a, b) => (a.destination < b.destination ? -1 : 1));
  return { queues, complete: true };
}
