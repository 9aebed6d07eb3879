/**
 * The way of the cursor into the database. The cursor in memory runs ahead of the stored one by at most one write: while that is under
 * way, progress gathers and goes with the next. To die in between means duplicates, never loss.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { Cursor } from '../log/cursor.ts';

export interface CursorProgress {
  readonly cursor: Cursor;
  /** Messages published so far, over the life of the subscription. */
  readonly published: number;
  /** Messages per second. */
  readonly rate: number;
}

export interface ProgressOptions {
  readonly clock: Clock;
  /** What is stored now. */
  readonly stored: Pick<CursorProgress, 'cursor' | 'published'>;
  readonly write: (progress: CursorProgress) => Promise<void>;
  /** Told of the first write that fails; none is made after it. */
  readonly onError: (error: unknown) => void;
}

/** Least time between two writes of the cursor, in milliseconds: bounds the writes at a trickle, and the duplicates after a crash. */
const WRITE_EVERY_MS = 20;

export class ProgressWriter {
  readonly #options: ProgressOptions;
  readonly #rate: Rate;
  #cursor: Cursor;
  #published: number;
  /** There is progress that no write has taken up. */
  #unwritten = false;
  #writing: Promise<void> | null = null;
  #lastWriteAtMs = -Infinity;
  #hasStored = false;
  /** Aborted by whoever waits for the writing: it then comes at once. */
  #hurry = new AbortController();

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#cursor = options.stored.cursor;
    this.#published = options.stored.published;
    this.#rate = createRate(options.clock);
  }

  get cursor(): Cursor {
    return this.#cursor;
  }

  get published(): number {
    return this.#published;
  }

  /** Whether a write has gone well. */
  get hasStored(): boolean {
    return this.#hasStored;
  }

  get isWriting(): boolean {
    return this.#writing !== null;
  }

  /** `count` messages went out, and the cursor is now there. */
  advance(cursor: Cursor, count: number): void {
    this.#cursor = cursor;
    this.#published += count;
    this.#rate.add(count);
    this.#unwritten = true;
    this.#writing ??= this.#writeAll();
  }

  /** Resolves once all progress is stored, or `onError` was told why not. */
  async flush(): Promise<void> {
    this.#hurry.abort();
    await this.#writing;
    this.#hurry = new AbortController();
  }

  async #writeAll(): Promise<void> {
    const { clock, write, onError } = this.#options;
    try {
      while (this.#unwritten) {
        await clock.sleep(this.#lastWriteAtMs + WRITE_EVERY_MS - clock.monotonic(), this.#hurry.signal);
        this.#unwritten = false;
        this.#lastWriteAtMs = clock.monotonic();
        await write({ cursor: this.#cursor, published: this.#published, rate: this.#rate.perSecond() });
        this.#hasStored = true;
      }
    } catch (error) {
      onError(error);
    } finally {
      this.#writing = null;
    }
  }
}

interface Rate {
  add(count: number): void;
  perSecond(): number;
}

/** Messages per second over the last few seconds, smoothed; for status only. */
function createRate(clock: Clock): Rate {
  const TAU_MS = 5_000;
  let value = 0;
  let atMs = clock.monotonic();
  const decay = () => {
    const nowMs = clock.monotonic();
    value *= Math.exp(-(nowMs - atMs) / TAU_MS);
    atMs = nowMs;
  };
  return {
    add(count) {
      decay();
      value += count / (TAU_MS / 1000);
    },
    perSecond() {
      decay();
      return value;
    },
  };
}
