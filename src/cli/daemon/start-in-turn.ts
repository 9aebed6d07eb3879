/**
 * Starts the services of a daemon. What a start waits for may never come, and a daemon that stands still in silence looks like one that
 * works: so a start that takes long is told of, for as long as it lasts.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Service } from '../../runtime/service.ts';

export interface NamedService {
  /** As it is told of: `relay`. */
  readonly name: string;
  readonly service: Service;
}

export interface StartTools {
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a start waits for is told of after so long, and each time again, in milliseconds. */
export const TELL_EVERY_MS = 15_000;

/** One after the other, so that the first that cannot be started is the one that is told of. Rejects with what its start rejects with. */
export async function startInTurn(services: readonly NamedService[], tools: StartTools): Promise<void> {
  for (const { name, service } of services) {
    const over = new AbortController();
    void tellUntil(over.signal, name, tools);
    try {
      // oxlint-disable-next-line no-await-in-loop
      await service.start();
    } finally {
      over.abort();
    }
  }
}

async function tellUntil(over: AbortSignal, name: string, { clock, log }: StartTools): Promise<void> {
  for (let waitedMs = TELL_EVERY_MS; ; waitedMs += TELL_EVERY_MS) {
    // oxlint-disable-next-line no-await-in-loop
    await clock.sleep(TELL_EVERY_MS, over);
    if (over.aborted) return;
    log.warn({ part: name, waitedMs }, `the ${name} has not started yet, after ${waitedMs / 1_000} s`);
  }
}
