/**
 * The rest between two looks at the log, and sleep: a runner that sleeps is woken by writers.
 */
import type { Clock } from '../../runtime/clock.ts';
import {
  expectAfter,
  isExpecting,
  NOTHING_EXPECTED,
  pace,
  welcomesHint,
  type Expectation,
} from '../subscription/pacing.ts';
import type { PageResult } from './held-shard.ts';
import type { SleepFlag } from './runner-context.ts';

export interface RestOptions {
  readonly clock: Clock;
  readonly sleepFlag: SleepFlag;
  /** How long a sleeper waits for a wake-up before it looks by itself, in milliseconds. */
  readonly idlePollMs: number;
}

export class Rest {
  readonly #options: RestOptions;
  #lastMessageAtMs: number;
  #expectation: Expectation = NOTHING_EXPECTED;
  /** Sleep was declared, and one more look was taken after that. */
  #asleep = false;
  #lastPage = 0;
  #hinted = false;
  #fruitless = 0;

  constructor(options: RestOptions) {
    this.#options = options;
    this.#lastMessageAtMs = options.clock.monotonic();
  }

  wake(): void {
    this.#asleep = false;
  }

  /** Somebody of this process has committed messages. Returns whether to look at once. */
  hint(): boolean {
    if (!welcomesHint({ lastPage: this.#lastPage, fruitless: this.#fruitless })) return false;
    this.#hinted = true;
    this.#asleep = false;
    return true;
  }

  /** Resolves with the milliseconds until the next look; may declare sleep. */
  async after({ size, more, drawn, high }: PageResult): Promise<number> {
    const { clock, sleepFlag, idlePollMs } = this.#options;
    const nowMs = clock.monotonic();
    const found = size > 0;
    if (found) this.#lastMessageAtMs = nowMs;
    this.#fruitless = found ? 0 : this.#fruitless + (this.#hinted ? 1 : 0);
    this.#hinted = false;
    this.#lastPage = size;
    this.#expectation = expectAfter(this.#expectation, { drawn, high, found });
    const next = pace({
      more,
      expecting: isExpecting(this.#expectation),
      idleForMs: nowMs - this.#lastMessageAtMs,
      canSleep: sleepFlag.canSleep,
    });
    if (next.kind === 'poll') {
      this.#asleep = false;
      return next.delayMs;
    }
    // Said again at every idle poll, since a relay that wakes may have unsaid it for all.
    await sleepFlag.declareSleep();
    if (this.#asleep) return idlePollMs;
    this.#asleep = true;
    return 0;
  }
}
