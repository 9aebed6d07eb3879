/**
 * Says what had to be done to a cursor before it was good in the server that is there now.
 */
import type { Logger } from '../../runtime/log.ts';
import type { Settled } from './settle-cursor.ts';

export function tellSettled(log: Logger, { cursor, rebaselined, raised, moved, failedOver, replay }: Settled): void {
  if (rebaselined) {
    log.warn(
      { from: cursor.high },
      'the cursor came from another cluster: re-reading by position, duplicates are possible',
    );
  }
  if (failedOver && replay === null)
    log.warn({}, 'the server is not the one of before; nothing is published again for it');
  if (replay !== null) {
    log.warn(
      { replayId: replay.id, fromSeq: replay.fromSeq, toSeq: replay.toSeq },
      'the server is not the one of before, and may have lost what was handled last: publishing the end of the log again',
    );
  }
  for (const { name, last, needed } of raised) {
    log.error({ sequence: name, last, needed }, 'a sequence was behind its table, and has been raised');
  }
  if (moved > 0)
    log.error({ moved }, 'messages had been written behind the cursor: they now stand at the end of the log');
}
