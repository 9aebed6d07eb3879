/**
 * Messages whose signature is not accepted. They are parked, where people see them, but only so many: who has nothing but the broker is not
 * to fill the database. Others stay in the broker until there is room.
 */
import type { HoldfastError } from '../../errors.ts';
import type { Verdict } from '../../transport/port.ts';
import { decideRefused, refusedAgainMs, type ParkedSize, type RefusedLimits } from '../handlers/decide-refused.ts';
import { PARK_REASONS } from '../handlers/decide.ts';
import type { ConsumerContext } from './consumer-context.ts';
import { packedBytes, type Incoming } from './incoming.ts';
import type { DeliverySettlement } from './settlement.ts';

interface Refusal {
  readonly incoming: Incoming;
  /** HF_MESSAGE_UNVERIFIED. */
  readonly error: HoldfastError;
  readonly retryInMs: number | null;
}

/** Between two lines of the log about one thing that goes on. */
const TELL_EVERY_MS = 60_000;
/** Between two looks at what is parked while there is no room; and looking takes this share of the time at most: a hundredth. */
const LOOK_EVERY_MS = 5_000;
const REST_PER_LOOK = 99;

export class RefusedMessages<Tx> {
  readonly #context: ConsumerContext<Tx>;
  readonly #settlement: DeliverySettlement<Tx>;
  /** What is parked, as of the last look, and what this process has parked since. */
  #parked: ParkedSize = { messages: 0, bytes: 0 };
  #since = Infinity;
  #looking: Promise<void> | null = null;
  /** Monotonic milliseconds, as all that follow. */
  #lookAgainMs = -Infinity;
  #tellAgainMs = -Infinity;
  #lastAgainMs = -Infinity;
  /** Since the last line of the log. */
  #untold = 0;

  constructor(context: ConsumerContext<Tx>, settlement: DeliverySettlement<Tx>) {
    this.#context = context;
    this.#settlement = settlement;
  }

  async settle({ incoming, error, retryInMs }: Refusal, signal: AbortSignal): Promise<Verdict> {
    const { signatures, clock, ordered } = this.#context;
    if (signatures === null) throw new TypeError('only who asks for signatures refuses any');
    const bytes = packedBytes(incoming.wire);
    const next = await this.#settlement.untilStored(incoming, signal, () =>
      this.#decide(error, bytes, signatures.limits),
    );
    if (typeof next !== 'string') return next;
    if (next === 'park') {
      const reason = PARK_REASONS.unverified;
      return this.#settlement.park({ incoming, reason, error, retryInMs, attempts: 0, marked: true }, signal);
    }
    this.#tell(error, next, signatures.limits);
    if (next === 'drop') return this.#settlement.acknowledge(incoming, 'dropped');
    const nowMs = clock.monotonic();
    this.#lastAgainMs = refusedAgainMs(this.#lastAgainMs, nowMs, ordered);
    return this.#settlement.later(incoming, this.#lastAgainMs - nowMs);
  }

  /** What is to be parked counts from now on, whatever becomes of it: others come at the same time. */
  async #decide(error: HoldfastError, bytes: number, limits: RefusedLimits): Promise<'park' | 'leave' | 'drop'> {
    const decide = () => decideRefused({ error, bytes, parked: this.#parked, limits });
    if (this.#since * 10 > limits.maxMessages) await this.#look();
    let next = decide();
    if (next !== 'park' && this.#mayHaveRoom()) {
      await this.#look();
      next = decide();
    }
    if (next !== 'park') return next;
    const { messages, bytes: kept } = this.#parked;
    this.#parked = { messages: messages + 1, bytes: kept + bytes };
    this.#since += 1;
    return 'park';
  }

  #mayHaveRoom(): boolean {
    return this.#since > 0 || this.#context.clock.monotonic() >= this.#lookAgainMs;
  }

  /** One look for all who want one at the same time. */
  async #look(): Promise<void> {
    this.#looking ??= this.#lookNow().finally(() => (this.#looking = null));
    await this.#looking;
  }

  async #lookNow(): Promise<void> {
    const { work, parked, clock } = this.#context;
    const startedMs = clock.monotonic();
    this.#parked = await work.transaction((execute) => parked.sizeFor(execute, PARK_REASONS.unverified));
    this.#since = 0;
    const nowMs = clock.monotonic();
    this.#lookAgainMs = nowMs + Math.max(LOOK_EVERY_MS, REST_PER_LOOK * (nowMs - startedMs));
  }

  #tell(error: HoldfastError, next: 'leave' | 'drop', limits: RefusedLimits): void {
    const { clock, log } = this.#context;
    this.#untold += 1;
    const nowMs = clock.monotonic();
    if (nowMs < this.#tellAgainMs) return;
    const fields = { err: error, refused: this.#untold, parked: this.#parked, limits };
    this.#untold = 0;
    this.#tellAgainMs = nowMs + TELL_EVERY_MS;
    log.error(
      fields,
      next === 'drop'
        ? 'messages whose signature is not accepted are dropped: as many as may be are parked'
        : 'messages whose signature is not accepted stay in the broker: as many as may be are parked, discard those that are nobody’s',
    );
  }
}
