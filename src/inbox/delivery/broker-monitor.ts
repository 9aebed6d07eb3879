/**
 * Watches the broker of a consumer: whether it hands out messages, and what lies in the queue. Trouble is logged at once, and then ever
 * more rarely for as long as it lasts. The figures go into the metrics.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import { createLoop } from '../../runtime/loop.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import type { StopOptions } from '../../runtime/service.ts';
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

export function createBrokerMonitor({
  name,
  destination,
  clock,
  log,
  unheard,
  metrics,
}: BrokerMonitorOptions): BrokerMonitor {
  const gauges = {
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
  let receiver: Receiver | null = null;
  let health = UNKNOWN;
  const said = new Map<string, { gapMs: number; nextMs: number }>();

  /** Whether it is time to say it: at once, then ever more rarely for as long as it lasts. */
  function due(what: string): boolean {
    const nowMs = clock.monotonic();
    const before = said.get(what);
    if (before !== undefined && nowMs < before.nextMs) return false;
    const gapMs = before === undefined ? SAY_AGAIN_MS : Math.min(SAY_AGAIN_CAP_MS, before.gapMs * 2);
    said.set(what, { gapMs, nextMs: nowMs + gapMs });
    return true;
  }

  function reached(queue: QueueState): void {
    if (health.reachable === false) log.info({ destination }, 'the broker answers again');
    health = { reachable: true, trouble: null, queue };
    said.delete('broker');
    const labels = { consumer: name };
    gauges.up.set(labels, 1);
    for (const state of STATES) gauges.messages.set({ ...labels, state }, queue[state]);
    gauges.paused.set(labels, queue.paused ? 1 : 0);
    if (queue.foreign !== null) gauges.foreign.set(labels, queue.foreign);
    const present = new Set<string>(queue.remarks.map(({ check }) => check));
    for (const check of said.keys()) if (!present.has(check)) said.delete(check);
    for (const { check, what, advice } of queue.remarks)
      if (due(check)) log.warn({ destination, check }, `${what} ${advice}`);
  }

  function missed(error: unknown): void {
    const trouble = error instanceof Error ? error.message : String(error);
    health = { ...health, reachable: false, trouble };
    gauges.up.set({ consumer: name }, 0);
    if (due('broker')) log.error({ destination, err: error }, 'nothing is received: the broker cannot be reached');
  }

  function takeOffThePage(): void {
    const labels = { consumer: name };
    for (const gauge of [gauges.up, gauges.paused, gauges.foreign]) gauge.remove(labels);
    for (const state of STATES) gauges.messages.remove({ ...labels, state });
  }

  function warnProcess(trouble: string): void {
    process.emitWarning(`Holdfast: consumer ${name} receives nothing. ${trouble}`, {
      code: 'HF_TRANSPORT_UNAVAILABLE',
    });
  }

  async function look(patienceMs: number): Promise<void> {
    if (receiver?.look === undefined) return;
    try {
      reached(await receiver.look({ signal: AbortSignal.timeout(patienceMs) }));
    } catch (error) {
      missed(error);
    }
  }

  const loop = createLoop({
    name: `${name}.broker`,
    clock,
    log,
    tick: async () => {
      await look(PATIENCE_MS);
      return LOOK_EVERY_MS;
    },
    onError: () => LOOK_EVERY_MS,
  });

  return {
    async start(of) {
      receiver = of;
      if (of.look === undefined) return;
      await look(FIRST_PATIENCE_MS);
      if (unheard && health.trouble !== null) warnProcess(health.trouble);
      await loop.start();
    },
    async stop(options) {
      await loop.stop(options);
      if (health !== UNKNOWN) takeOffThePage();
      receiver = null;
      health = UNKNOWN;
      said.clear();
    },
    health: () => health,
  };
}
