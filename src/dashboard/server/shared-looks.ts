/**
 * What several pages look at together is read once for all of them: open pages ask again at the same moments, so fifty that show the same
 * list cost the database what one does.
 */

/** For so long after a reading has begun, in milliseconds, who asks the same gets its answer. */
const YOUNG_MS = 1_000;

export interface SharedLooks {
  /**
   * The answer to `question` as JSON text. `read` is called for the first who asks. Rejects as `read` does, for all who wait for it; whoever
   * comes afterwards has it read anew.
   */
  answer(question: string, read: () => unknown): Promise<string>;
  /** Somebody has changed something: what is asked from now on is read anew. */
  forget(): void;
}

export function createSharedLooks(nowMs: () => number = () => performance.now()): SharedLooks {
  const readings = new Map<string, { readonly text: Promise<string>; readonly begunMs: number }>();
  return {
    async answer(question, read) {
      const begunMs = nowMs();
      const before = readings.get(question);
      if (before !== undefined && begunMs - before.begunMs < YOUNG_MS) return before.text;
      const reading = { text: readText(read), begunMs };
      readings.set(question, reading);
      const drop = (): void => {
        if (readings.get(question) === reading) readings.delete(question);
      };
      reading.text.then(
        // Kept no longer than it is of use: an answer may be large.
        () => setTimeout(drop, Math.max(0, begunMs + YOUNG_MS - nowMs())).unref(),
        drop,
      );
      return reading.text;
    },
    forget: () => readings.clear(),
  };
}

async function readText(read: () => unknown): Promise<string> {
  return JSON.stringify(await read());
}
