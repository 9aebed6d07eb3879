/**
 * Watches the broker of a consumer: whether it hands out messages, and what lies in the queue. Trouble is logged at once, and then less and
 * less often for as long as it lasts. The figures go into the metrics.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import { createLoop, type Loop } from '../../runtime/loop.ts';
import type { Gauge, Metrics } from '../../runtime/metrics.ts';
import type { StopOptions } from '../../runtime/service.ts';
import { timeLimit } from '../../runtime/time-limit.ts';
import type { QueueState, Receiver } from '../../transport/port.ts';

/** How a consumer stands with its broker. */
export interface BrokerHealth {
  /** Null: not known yet, or there is no broker to ask. */
  readonly reachable: boolean | null;
  /** Why it is not reachable. */
  readonly trouble: string | null;
  /** As it was when it could last be asked. */
  readonly queue: QueueState | null;
}

export interface BrokerMonitor {
  /** Resolves when the broker has answered, or with its trouble said: after a second at the latest. */
  start(receiver: Receiver): Promise<void>;
  stop(options?: StopOptions): Promise<void>;
  health(): BrokerHealth;
}

const LOOK_EVERY_MS = 5_000;
/** A start waits for no longer. */
const FIRST_PATIENCE_MS = 1_000;
const PATIENCE_MS = 3_000;
/** The same trouble is said again after this, then after twice that, and so on. */
const SAY_AGAIN_MS = 5_000;
const SAY_AGAIN_CAP_MS = 600_000;

const STATES = ['waiting', 'active', 'delayed', 'failed'] as const;
const UNKNOWN: BrokerHealth = { reachable: null, trouble: null, queue: null };

export interface BrokerMonitorOptions {
  readonly name: string;
  readonly destination: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Nobody listens to the log: a first contact that fails is a warning of the process. */
  readonly unheard: boolean;
  readonly metrics: Metrics;
}

export function createBrokerMonitor(options: BrokerMonitorOptions): BrokerMonitor {
  return new LoopingBrokerMonitor(options);
}

class LoopingBrokerMonitor implements BrokerMonitor {
  readonly #options: BrokerMonitorOptions;
  readonly #gauges: BrokerGauges;
  readonly #log: RepeatedTrouble;
  readonly #loop: Loop;
  #receiver: Receiver | null = null;
  #health = UNKNOWN;

  constructor(options: BrokerMonitorOptions) {
    const { name, clock, log, metrics } = options;
    this.#options = options;
    this.#gauges = brokerGauges(metrics);
    this.#log = new RepeatedTrouble(clock);
    this.#loop = createLoop({
      name: `${name}.broker`,
      clock,
      log,
      tick: async () => {
        await this.#look(PATIENCE_MS);
        return LOOK_EVERY_MS;
      },
      onError: () => LOOK_EVERY_MS,
    });
  }

  async start(receiver: Receiver): Promise<void> {
    this.#receiver = receiver;
    if (receiver.look === undefined) return;
    await this.#look(FIRST_PATIENCE_MS);
    const { trouble } = this.#health;
    if (this.#options.unheard && trouble !== null) warnProcess(this.#options.name, trouble);
    await this.#loop.start();
  }

  async stop(options?: StopOptions): Promise<void> {
    await this.#loop.stop(options);
    if (this.#health !== UNKNOWN) clearGauges(this.#gauges, this.#options.name);
    this.#receiver = null;
    this.#health = UNKNOWN;
    this.#log.clear();
  }

  health(): BrokerHealth {
    return this.#health;
  }

  async #look(patienceMs: number): Promise<void> {
    if (this.#receiver?.look === undefined) return;
    try {
      this.#reached(await this.#receiver.look({ signal: timeLimit(patienceMs) }));
    } catch (error) {
      this.#missed(error);
    }
  }

  #reached(queue: QueueState): void {
    const { name, destination, log } = this.#options;
    if (this.#health.reachable === false) log.info({ destination }, 'the broker answers again');
    this.#health = { reachable: true, trouble: null, queue };
    setGauges(this.#gauges, name, queue);
    this.#log.keepOnly(queue.remarks.map(({ check }) => check));
    for (const { check, what, advice } of queue.remarks)
      if (this.#log.isDue(check)) log.warn({ destination, check }, `${what} ${advice}`);
  }

  #missed(error: unknown): void {
    const { name, destination, log } = this.#options;
    const trouble = error instanceof Error ? error.message : String(error);
    this.#health = { ...this.#health, reachable: false, trouble };
    this.#gauges.up.set({ consumer: name }, 0);
    if (this.#log.isDue('broker'))
      log.error({ destination, err: error }, 'nothing is received: the broker cannot be reached');
  }
}

/** When trouble that lasts is to be logged: at once, then ever more rarely. */
class RepeatedTrouble {
  readonly #clock: Clock;
  readonly #said = new Map<string, { readonly gapMs: number; readonly nextMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isDue(what: string): boolean {
    const nowMs = this.#clock.monotonic();
    const before = this.#said.get(what);
    if (before !== undefined && nowMs < before.nextMs) return false;
    const gapMs = before === undefined ? SAY_AGAIN_MS : Math.min(SAY_AGAIN_CAP_MS, before.gapMs * 2);
    this.#said.set(what, { gapMs, nextMs: nowMs + gapMs });
    return true;
  }

  /** All other trouble is over: it is logged at once when it comes back. */
  keepOnly(present: readonly string[]): void {
    for (const what of this.#said.keys()) if (!present.includes(what)) this.#said.delete(what);
  }

  clear(): void {
    this.#said.clear();
  }
}

interface BrokerGauges {
  readonly up: Gauge<'consumer'>;
  readonly messages: Gauge<'consumer' | 'state'>;
  readonly paused: Gauge<'consumer'>;
  readonly foreign: Gauge<'consumer'>;
}

function brokerGauges(metrics: Metrics): BrokerGauges {
  return {
    up: metrics.gauge('holdfast_consumer_broker_up', '1 while the broker hands out to the consumer.', ['consumer']),
    messages: metrics.gauge('holdfast_queue_messages', 'Messages in the queue of a consumer, by state.', [
      'consumer',
      'state',
    ]),
    paused: metrics.gauge('holdfast_queue_paused', '1 while the queue is paused.', ['consumer']),
    foreign: metrics.gauge('holdfast_queue_foreign_consumers', "Consumers of the queue that are not Holdfast's.", [
      'consumer',
    ]),
  };
}

function setGauges(gauges: BrokerGauges, consumer: string, queue: QueueState): void {
  gauges.up.set({ consumer }, 1);
  for (const state of STATES) gauges.messages.set({ consumer, state }, queue[state]);
  gauges.paused.set({ consumer }, queue.paused ? 1 : 0);
  if (queue.foreign !== null) gauges.foreign.set({ consumer }, queue.foreign);
}

/** A consumer that is stopped says nothing of its broker any more. */
function clearGauges(gauges: BrokerGauges, consumer: string): void {
  for (const gauge of [gauges.up, gauges.paused, gauges.foreign]) gauge.remove({ consumer });
  for (const state of STATES) gauges.messages.remove({ consumer, state });
}

function warnProcess(consumer: string, trouble: string): void {
  process.emitWarning(`Holdfast: consumer ${consumer} receives nothing. ${trouble}`, {
    code: 'HF_TRANSPORT_UNAVAILABLE',
  });
}
