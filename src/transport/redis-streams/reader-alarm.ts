/**
 * Holds a loop until there is something to do: it is roused, or a time has come. A call that comes while nobody waits is remembered.
 */

/** What only shows in a look at Redis is seen after this at the latest. */
const LONGEST_MS = 5000;

export class ReaderAlarm {
  readonly #onTime: () => void;
  #wake: () => void = () => {};
  #woken = false;
  #timer: NodeJS.Timeout | undefined;
  #timerMs = Infinity;

  /** @param onTime called when the time has come, before the loop goes on */
  constructor(onTime: () => void) {
    this.#onTime = onTime;
  }

  readonly rouse = (): void => {
    this.#woken = true;
    this.#wake();
  };

  /** At that time (monotonic milliseconds), or earlier. */
  rouseAt(atMs: number): void {
    if (atMs >= this.#timerMs) return;
    clearTimeout(this.#timer);
    this.#timerMs = atMs;
    const inMs = Math.min(Math.max(1, atMs - performance.now()), LONGEST_MS);
    this.#timer = setTimeout(() => {
      this.#timerMs = Infinity;
      this.#onTime();
      this.rouse();
    }, inMs);
  }

  /** What comes in the same turn of the event loop is waited for as well. */
  async untilRoused(): Promise<void> {
    if (!this.#woken) await new Promise<void>((resolve) => void (this.#wake = resolve));
    await new Promise((resolve) => void setImmediate(resolve));
    this.#woken = false;
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
