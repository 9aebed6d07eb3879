/**
 * Calls back at a moment that is given to a fraction of a millisecond. Node's own timers count whole ones and come late by up to one,
 * which of a delay of one millisecond would be half. A thread sleeps until the moment and says so.
 */
import { once } from 'node:events';
import { parentPort, Worker, workerData, type MessagePort } from 'node:worker_threads';
import { monotonicMs } from './clock.ts';

export interface Alarm {
  /** The next moment, by monotonicMs(). One at a time: called again only when `onDue` was. */
  set(atMs: number): void;
}

interface Shared {
  /** 1 while a moment is set. */
  readonly isSet: Int32Array;
  readonly atMs: Float64Array;
}

export async function createAlarm(onDue: () => void): Promise<Alarm> {
  const shared: Shared = {
    isSet: new Int32Array(new SharedArrayBuffer(4)),
    atMs: new Float64Array(new SharedArrayBuffer(8)),
  };
  const sleeper = new Worker(new URL(import.meta.url), { workerData: shared });
  sleeper.on('message', onDue);
  await once(sleeper, 'online');
  return {
    set(atMs) {
      shared.atMs[0] = atMs;
      Atomics.store(shared.isSet, 0, 1);
      Atomics.notify(shared.isSet, 0);
    },
  };
}

function sleepAndTell({ isSet, atMs }: Shared, port: MessagePort): never {
  for (;;) {
    Atomics.wait(isSet, 0, 0);
    Atomics.store(isSet, 0, 0);
    const leftMs = (atMs[0] ?? 0) - monotonicMs();
    if (leftMs > 0) Atomics.wait(isSet, 0, 0, leftMs);
    port.postMessage(null);
  }
}

if (parentPort !== null) sleepAndTell(workerData as Shared, parentPort);
