/**
 * What a receiver of both BullMQ transports does from start to stop: one BullMQ worker for each partition. BullMQ hands out jobs, locks them
 * and takes back those of dead workers. Retries, attempts and parking are Holdfast's: BullMQ's own retries are not used, and nothing
 * ends in its failed set.
 *
 * Order: an ordered partition has the global concurrency 1, so two processes never run two of its messages at once. A message that goes
 * back goes to the head of the queue.
 */
import { setMaxListeners } from 'node:events';
import { HoldfastError } from '../../errors.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Delivery, QueueState, ReceiveOptions, Verdict } from '../port.ts';
import { drainedOrForced } from '../open-deliveries.ts';
import type { RunningReceiver } from '../running-receiver.ts';
import { settledOrAborted, untilStopped } from '../shared.ts';
import type { ReceiverConnection } from './broker.ts';
import { InFlightDeliveries } from './in-flight.ts';
import { JobProcessor } from './job-processor.ts';
import type { BullmqSettings } from './options.ts';
import { PartitionWorkers } from './partition-workers.ts';
import { readQueueState } from './queue-state.ts';
import { ANSWER_WITHIN_MS } from './redis-silence.ts';
import { REST_MS } from './worker.ts';

/** Answers of a broker that can be reached and does not let us work. */
const REFUSAL = /NOPERM|NOAUTH|WRONGPASS|READONLY|MISCONF|\bOOM\b|permission denied/;
/** A worker with nothing in flight closes in a moment; one that does not is waiting for a broker that is away. */
const IDLE_CLOSE_MS = 2000;

export interface ReceivingOptions {
  /** Of the transport, for errors. */
  readonly kind: string;
  /** Closed by the stop. */
  readonly connection: ReceiverConnection;
  readonly settings: BullmqSettings;
  readonly destination: string;
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  readonly options: ReceiveOptions;
}

export function startReceiving(options: ReceivingOptions): RunningReceiver {
  return new Receiving(options);
}

class Receiving implements RunningReceiver {
  readonly #options: ReceivingOptions;
  readonly #inFlight: InFlightDeliveries;
  readonly #workers: PartitionWorkers;
  readonly #stopping = new AbortController();
  /** Aborts when a stop is to wait no longer. */
  readonly #hard = new AbortController();
  readonly #watch: NodeJS.Timeout;
  #restoreDueMs: number;
  #cutDueMs = performance.now() + ANSWER_WITHIN_MS;
  #looking: Promise<QueueState> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: ReceivingOptions) {
    const { connection, settings, destination, handle } = options;
    const { ordered, concurrency, ahead } = options.options;
    const stopping = this.#stopping.signal;
    // Each job that waits for a slot hears of the stop.
    setMaxListeners(0, stopping);
    const inFlight = new InFlightDeliveries(settings.lockDurationMs);
    const { onError } = settings;
    const jobs = new JobProcessor({
      handle,
      ordered,
      concurrency,
      ahead,
      inFlight,
      brokerTimeMs: (queue, backend) => connection.brokerTimeMs(queue, backend),
      stopping,
      onError,
    });
    this.#options = options;
    this.#inFlight = inFlight;
    this.#workers = new PartitionWorkers({
      connection,
      settings,
      destination,
      ordered,
      concurrency,
      ahead,
      inFlight,
      stopping,
      process: (worker, job, token) => jobs.process(worker, job, token),
    });
    this.#restoreDueMs = performance.now() + settings.stalledIntervalMs;
    this.#watch = setInterval(
      () => this.#lookAfter(),
      Math.min(settings.lockDurationMs / 4, settings.stalledIntervalMs),
    );
  }

  async look(signal: AbortSignal): Promise<QueueState> {
    // One at a time: what hangs must not gather.
    this.#looking ??= this.#readState().finally(() => (this.#looking = undefined));
    try {
      return await settledOrAborted(this.#looking, signal);
    } catch (error) {
      const silent = signal.aborted && error === signal.reason;
      throw this.#cannotHandOut(silent ? this.#workers.lastFailure?.error : error);
    }
  }

  stop(signal: AbortSignal | undefined): Promise<void> {
    this.#stopped ??= this.#end();
    // Every caller may lose patience: a second stop can make the first one hard.
    return untilStopped(this.#stopped, signal, this.#hard);
  }

  #lookAfter(): void {
    this.#inFlight.loseExpired();
    const nowMs = performance.now();
    if (nowMs >= this.#cutDueMs) {
      this.#cutDueMs = nowMs + ANSWER_WITHIN_MS;
      this.#options.connection.cutSilent?.();
    }
    if (nowMs < this.#restoreDueMs || this.#stopping.signal.aborted) return;
    this.#restoreDueMs = nowMs + this.#options.settings.stalledIntervalMs;
    this.#workers.restoreQueues();
  }

  async #readState(): Promise<QueueState> {
    const { connection, settings, destination, options } = this.#options;
    const workers = this.#workers;
    await connection.reach(settings.naming.queueName(destination, 0));
    const { first } = workers;
    if (first === undefined) throw workers.lastFailure?.error ?? new Error('its workers are not made yet');
    await first.waitUntilReady();
    const state = await readQueueState(connection.access(first.getBackend()), destination, {
      partitions: workers.partitions,
      owner: options.owner ?? null,
    });
    const failure = workers.lastFailure;
    if (failure !== undefined && performance.now() - failure.atMs < 2 * REST_MS && REFUSAL.test(failure.error.message))
      throw failure.error;
    return state;
  }

  /** @param cause undefined when the broker has not answered yet */
  #cannotHandOut(cause: unknown): HoldfastError {
    const { kind, connection } = this.#options;
    const silence = `no answer yet${connection.hint === undefined ? '' : `; ${connection.hint}`}`;
    const why = cause instanceof Error ? cause.message.replace(/\.$/, '') : silence;
    return new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `The broker (${kind}) does not hand out: ${why}.`, {
      advice: 'Check that it runs, and address, password and rights of the role.',
      cause,
    });
  }

  async #end(): Promise<void> {
    this.#stopping.abort();
    this.#inFlight.drain();
    const closed = new AbortController();
    const forcing = this.#force(closed.signal);
    await this.#workers.close();
    closed.abort();
    await forcing;
    clearInterval(this.#watch);
    await this.#options.connection.close();
  }

  /** Takes away from the workers, step by step, what they wait for: handlers at a hard stop, then a broker that is away. */
  async #force(closed: AbortSignal): Promise<void> {
    await drainedOrForced(this.#inFlight, this.#hard.signal, closed);
    await systemClock.sleep(IDLE_CLOSE_MS, closed);
    if (!closed.aborted) this.#options.connection.disconnect();
  }
}
