/**
 * Gauges that are read when they are asked for: lag and parked messages from the database, roles and breakers from this process.
 * The names are documented in docs/operations.md.
 */
import { Gauge as PromGauge, type Registry } from 'prom-client';
import { HoldfastError } from '../../errors.ts';
import type { ParkedCounts, RelayStatus } from '../../operations/relay/relay-status.ts';
import type { Database } from '../../postgres/database.ts';
import type { RunnerState } from '../../relay/subscription/runner-state.ts';
import type { Clock } from '../../runtime/clock.ts';
import { defectOf } from '../../runtime/defect.ts';
import type { Logger } from '../../runtime/log.ts';
import { withTimeout } from '../../runtime/timeout.ts';

export interface Gauges {
  /** Brings them up to date; at most one look at the database a second, however many scrape. Never rejects. */
  refresh(): Promise<void>;
}

const CACHE_MS = 1_000;
/** Below the 10 s after which Prometheus gives a scrape up. */
export const GAUGE_TIMEOUT_MS = 4_000;

export interface GaugesOptions {
  readonly registry: Registry;
  readonly database: Database;
  readonly states: () => readonly RunnerState[];
  readonly clock: Clock;
  readonly log: Logger;
}

export function createGauges({ registry, database, states, clock, log }: GaugesOptions): Gauges {
  const gauge = gaugesOn(registry);
  const ofLog = logGauges(registry);
  const up = gauge('holdfast_database_up', '1 while the database answers.', []);
  const active = gauge('holdfast_relay_active', '1 while this process holds the subscription.', SHARD);
  const breaker = gauge(
    'holdfast_relay_breaker_open',
    '1 while the circuit breaker to the broker is not closed.',
    SHARD,
  );
  const tellDefect = defectTeller(log);

  async function readDatabase(): Promise<void> {
    try {
      // Many a daemon is never asked for its figures, and so need not load the builder of their queries.
      const { relayStatus } = await import('../../operations/relay/relay-status.ts');
      const status = await withTimeout(() => relayStatus(database), {
        timeoutMs: GAUGE_TIMEOUT_MS,
        clock,
        onTimeout: () =>
          new HoldfastError('HF_DATABASE_UNAVAILABLE', `The database did not answer within ${GAUGE_TIMEOUT_MS} ms.`),
      });
      // What is gone must go from the page as well.
      ofLog.reset();
      ofLog.show(status);
      up.set(1);
    } catch (error) {
      // No figure is better than one of before.
      ofLog.reset();
      if (tellDefect(error)) up.remove();
      else up.set(0);
    }
  }

  const cached = cachedGauges(clock, readDatabase);
  return {
    async refresh() {
      for (const { subscription, shard: number, role, breaker: state } of states()) {
        const labels = { subscription, shard: String(number) };
        active.set(labels, role === 'active' ? 1 : 0);
        breaker.set(labels, state === 'closed' ? 0 : 1);
      }
      await cached.refresh();
    },
  };
}

const SHARD = ['subscription', 'shard'] as const;

type MakeGauge = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) => PromGauge<Label>;

function gaugesOn(registry: Registry): MakeGauge {
  return (name, help, labelNames) => new PromGauge({ name, help, labelNames, registers: [registry] });
}

interface LogGauges {
  reset(): void;
  show(status: RelayStatus): void;
}

/** What the tables say of log, subscriptions and parked messages. */
function logGauges(registry: Registry): LogGauges {
  const gauge = gaugesOn(registry);
  const lag = gauge('holdfast_relay_lag_messages', 'Distance from the newest message of the log, at most.', SHARD);
  const oldest = gauge(
    'holdfast_relay_oldest_unpublished_seconds',
    'Age of the oldest message not yet read; 0: none.',
    SHARD,
  );
  const drain = gauge(
    'holdfast_relay_drain_seconds',
    'How long what is waiting takes at the present pace; 0: nothing waits. Absent while nothing goes out.',
    SHARD,
  );
  const stalls = gauge(
    'holdfast_relay_stalls',
    'Takeovers in a row after which nothing had advanced, from relays that were not heard of since.',
    SHARD,
  );
  const served = gauge('holdfast_relay_subscription_served', '1 while some relay holds the subscription.', SHARD);
  const ofRelay = [...SHARD, 'state'] as const;
  const parked = gauge('holdfast_parked_messages', 'Messages a relay took out of the flow.', ofRelay);
  const ofConsumer = ['consumer', 'state'] as const;
  const deliveries = gauge(
    'holdfast_parked_deliveries',
    'Messages that consumers of this database gave up.',
    ofConsumer,
  );
  const scheduled = gauge('holdfast_scheduled_messages', 'Messages whose time has not come.', []);
  const replays = gauge('holdfast_replays_open', 'Replays not finished.', []);
  const all = [lag, oldest, drain, stalls, served, parked, deliveries, scheduled, replays];

  return {
    reset() {
      for (const each of all) each.reset();
    },
    show(status) {
      for (const each of status.subscriptions) {
        const labels = { subscription: each.name, shard: String(each.shard) };
        lag.set(labels, each.behind);
        oldest.set(labels, (each.oldestUnpublishedAgeMs ?? 0) / 1_000);
        if (each.drainMs !== null) drain.set(labels, each.drainMs / 1_000);
        stalls.set(labels, each.stalls);
        served.set(labels, each.live ? 1 : 0);
        setCounts((state, count) => parked.set({ ...labels, state }, count), each.parked);
      }
      for (const { consumer, ...counts } of status.consumers) {
        setCounts((state, count) => deliveries.set({ consumer, state }, count), counts);
      }
      scheduled.set(status.scheduled.count);
      replays.set(status.replays.length);
    },
  };
}

function setCounts(set: (state: string, count: number) => void, { failed, behind, dead }: ParkedCounts): void {
  set('failed', failed);
  set('behind', behind);
  set('dead', dead);
}

/** Says once what is no trouble of the database, which figures that are absent would be taken for. False for everything else. */
export function defectTeller(log: Logger): (error: unknown) => boolean {
  let told = false;
  return (error) => {
    if (defectOf(error) === null) return false;
    if (!told) log.error({ err: error }, 'figures for /metrics are missing, and not because of the database');
    told = true;
    return true;
  };
}

/** One look at a time, and at most one a second. `read` never rejects. */
export function cachedGauges(clock: Clock, read: () => Promise<void>): Gauges {
  let reading: Promise<void> | null = null;
  let readAtMs = -Infinity;
  return {
    async refresh() {
      if (reading === null && clock.monotonic() - readAtMs >= CACHE_MS) {
        reading = read().finally(() => {
          readAtMs = clock.monotonic();
          reading = null;
        });
      }
      await reading;
    },
  };
}
