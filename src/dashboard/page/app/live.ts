/**
 * How things are now, pushed by the server every two seconds while somebody looks. It can be paused, so that what is being read stands
 * still; lists then stand still as well.
 */
import { computed, signal } from '@preact/signals';
import { askSession, failureFrom, read, RequestFailure, urlOfApi } from './api.ts';
import type { ApiFailure } from '../../server/contract.ts';
import type { WireOverview } from './wire.ts';

export const overview = signal<WireOverview | null>(null);
/** Why there is nothing new; null: nothing failed. */
export const overviewFailure = signal<RequestFailure | null>(null);
export const paused = signal(false);
/** When what is shown came in; null: nothing has yet. */
export const heardAt = signal<number | null>(null);
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
  document.addEventListener('visibilitychange', look);
  return () => {
    stop();
    document.removeEventListener('visibilitychange', look);
    close();
  };
}

function open(): void {
  clearTimeout(retry);
  if (source !== null) return;
  const opened = new EventSource(urlOfApi('live'));
  source = opened;
  opened.addEventListener('overview', (event: MessageEvent<string>) => {
    overview.value = JSON.parse(event.data) as WireOverview;
    heardAt.value = Date.now();
    connected.value = true;
    overviewFailure.value = null;
  });
  opened.addEventListener('trouble', (event: MessageEvent<string>) => {
    overviewFailure.value = new RequestFailure(503, JSON.parse(event.data) as ApiFailure);
  });
  opened.addEventListener('end', () => void askSession());
  opened.addEventListener('error', () => {
    connected.value = false;
    // Refused for good, as when the session has ended: the browser does not try again by itself.
    if (opened.readyState !== EventSource.CLOSED || source !== opened) return;
    source = null;
    void explain();
    retry = setTimeout(open, RETRY_MS);
  });
}

/** A stream of events does not say why it is refused; the same read does. */
async function explain(): Promise<void> {
  try {
    overview.value = await read<WireOverview>('overview');
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
