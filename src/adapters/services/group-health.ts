/**
 * What the probes of an application answer about the services in it: the same judgements as those of the daemon. Pure, but for what the
 * services say of themselves.
 */
import type { Consumer } from '../../inbox/consumer.ts';
import {
  joinLiveness,
  judgeLiveness,
  judgeWorkerLiveness,
  relayReadiness,
  workerReadiness,
  type PartReadiness,
  type ProbeAnswer,
} from '../../operations/health/judgements.ts';
import type { Relay } from '../../relay/relay.ts';
import type { Service } from '../../runtime/service.ts';
import type { Worker } from '../../saga/worker/worker.ts';

/** What a probe is to be told: 200 or 503, and why. */
export interface GroupHealth {
  readonly ok: boolean;
  /** Shown as JSON: names and numbers, never payloads. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** How long a worker may show no sign of life, in milliseconds: its lease, which is 15 s by default, and as much as the daemon adds. */
const SILENCE_MS = 35_000;

export function livenessOf(services: readonly Service[], nowMs: number): ProbeAnswer {
  const states = services.filter(isRelay).flatMap((relay) => relay.states);
  const workers = services.filter(isWorker);
  return joinLiveness([
    ...(states.length > 0 ? [judgeLiveness(states, nowMs)] : []),
    ...workers.map(({ progress }) => judgeWorkerLiveness(progress, { nowMs, patienceMs: SILENCE_MS })),
  ]);
}

export function readinessOf(services: readonly Service[]): readonly PartReadiness[] {
  const relays = services.filter(isRelay);
  const consumers = services.filter(isConsumer);
  return [
    ...(relays.length > 0 ? [relayReadiness(relays.flatMap((relay) => relay.states))] : []),
    ...services.filter(isWorker).map((worker) => workerReadiness(worker, null)),
    ...(consumers.length > 0 ? [consumerReadiness(consumers)] : []),
  ];
}

/** Said, but no reason not to be ready: requests are answered without the broker, and messages wait for it. */
function consumerReadiness(consumers: readonly Consumer[]): PartReadiness {
  const said = consumers.map((consumer) => ({ name: consumer.name, broker: consumer.brokerHealth().trouble ?? 'ok' }));
  return { reasons: [], body: { consumers: said } };
}

function isRelay(service: Service): service is Relay {
  return 'states' in service && Array.isArray(service.states);
}

function isWorker(service: Service): service is Worker {
  return 'progress' in service && 'repliesHealth' in service;
}

function isConsumer(service: Service): service is Consumer {
  return 'brokerHealth' in service && typeof service.brokerHealth === 'function';
}
