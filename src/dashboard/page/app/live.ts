/**
 * How things are now, pushed by the server every two seconds while somebody looks: of the database that is looked at, or of all of them. It can
 * be paused, so that what is being read stands still; lists then stand still as well.
 */
import { computed, effect, signal, untracked } from '@preact/signals';
import { askSession, failureFrom, read, RequestFailure, urlOfApi } from './api.ts';
import { atAll } from './databases.ts';
import { here } from './router.ts';
import type { ApiFailure } from '../../server/contract.ts';
import type { WireAllOverviews, WireDatabaseNow, WireOverview } from './wire.ts';

/** Of the one that is looked at. */
export const overview = signal<WireOverview | null>(null);
/** What each said last, by name, and when; of all that are looked at together. */
export const overviews = signal<ReadonlyMap<string, WireDatabaseNow & { readonly heardAt: number }>>(new Map());
/** Why there is nothing new; null: nothing failed. */
export const overviewFailure = signal<RequestFailure | null>(null);
export const paused = signal(false);
/** When what is shown came in; null: nothing has yet. */
export const heardAt = signal<number | null>(null);
/** The server's time of what came in last, in milliseconds since the epoch. */
export const serverTime = signal<number | null>(null);
const connected = signal(false);

export type LiveState = 'live' | 'paused' | 'waiting';
export const liveState = computed<LiveState>(() => (paused.value ? 'paused' : connected.value ? 'live' : 'waiting'));

const RETRY_MS = 3_000;
let source: EventSource | null = null;
let retry: ReturnType<typeof setTimeout> | undefined;

/** Opens and closes with the page being looked at. Answers with what ends it. */
export function startLive(): () => void {
  const look = (): void => (document.hidden || paused.peek() ? close() : open());
  const stop = paused.subscribe(look);
  // Another database is another stream, and nothing of the one before is shown under its name.
  const stopMoving = effect(() => {
    void here.value;
    untracked(() => {
      close();
      overview.value = null;
      overviews.value = new Map();
      overviewFailure.value = null;
      heardAt.value = null;
      look();
    });
  });
  document.addEventListener('visibilitychange', look);
  return () => {
    stop();
    stopMoving();
    document.removeEventListener('visibilitychange', look);
    close();
  };
}

function open(): void {
  clearTimeout(retry);
  if (source !== null) return;
  const opened = new EventSource(urlOfApi(atAll.peek() ? 'all/live' : 'live'));
  source = opened;
  opened.addEventListener('overview', (event: MessageEvent<string>) => {
    if (source !== opened) return;
    if (atAll.peek()) tellOne(JSON.parse(event.data) as WireDatabaseNow);
    else tellOnly(JSON.parse(event.data) as WireOverview);
    connected.value = true;
    overviewFailure.value = null;
  });
  opened.addEventListener('trouble', (event: MessageEvent<string>) => {
    overviewFailure.value = new RequestFailure(503, JSON.parse(event.data) as ApiFailure);
  });
  opened.addEventListener('end', () => void askSession());
  opened.addEventListener('error', () => {
    if (source !== opened) return;
    connected.value = false;
    // Refused for good, as when the session has ended: the browser does not try again by itself.
    if (opened.readyState !== EventSource.CLOSED) return;
    source = null;
    void explain();
    retry = setTimeout(open, RETRY_MS);
  });
}

function tellOnly(now: WireOverview): void {
  overview.value = now;
  heardAt.value = Date.now();
  serverTime.value = Date.parse(now.at);
}

function tellOne(said: WireDatabaseNow): void {
  overviews.value = new Map(overviews.peek()).set(said.database, { ...said, heardAt: Date.now() });
  heardAt.value = Date.now();
  if (said.answer !== null) serverTime.value = Date.parse(said.answer.at);
}

/** A stream of events does not say why it is refused; the same read does. */
async function explain(): Promise<void> {
  const where = here.peek();
  try {
    if (atAll.peek()) {
      const { items } = await read<WireAllOverviews>(urlOfApi('all/overview'));
      if (here.peek() === where) for (const each of items) tellOne(each);
    } else {
      const now = await read<WireOverview>(urlOfApi('overview'));
      if (here.peek() === where) tellOnly(now);
    }
    overviewFailure.value = null;
  } catch (error) {
    overviewFailure.value = failureFrom(error);
    await askSession();
  }
}

function close(): void {
  clearTimeout(retry);
  source?.close();
  source = null;
  connected.value = false;
}
