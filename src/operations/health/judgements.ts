/**
 * What the probes answer. Pure judgements.
 *
 * Liveness asks whether a restart would help: whether some runner hangs. A standby, a broker that is away, a database that is down
 * or silent are no reason to be killed, but are said. Readiness asks whether this process does its part now.
 */
import type { Worker } from '../../saga/worker/worker.ts';
import type { RunnerState } from '../../relay/subscription/runner-state.ts';

export interface ProbeAnswer {
  readonly ok: boolean;
  /** Shown as JSON. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** `nowMs` on the same monotonic clock as the states. */
export function judgeLiveness(states: readonly RunnerState[], nowMs: number): ProbeAnswer {
  const runners = states.map(({ subscription, shard, role, lastTickAtMs, patienceMs, failure }) => {
    const silentMs = Math.max(0, Math.round(nowMs - lastTickAtMs));
    return { subscription, shard, role, silentMs, hangs: silentMs > patienceMs || role === 'ended', failure };
  });
  const ok = !runners.some(({ hangs }) => hangs);
  return { ok, body: { status: ok ? 'alive' : 'hangs', runners } };
}

export interface SilenceLimit {
  /** On the same monotonic clock as the signs of life. */
  readonly nowMs: number;
  readonly patienceMs: number;
}

export function judgeWorkerLiveness(
  { lastAliveAtMs, inMemory, waiting, failure }: Worker['progress'],
  { nowMs, patienceMs }: SilenceLimit,
): ProbeAnswer {
  const silentMs = Math.max(0, Math.round(nowMs - lastAliveAtMs));
  const ok = silentMs <= patienceMs;
  return { ok, body: { status: ok ? 'alive' : 'hangs', worker: { silentMs, hangs: !ok, failure, inMemory, waiting } } };
}

/** Of several parts: all of them, or not alive. Nothing runs yet: alive. */
export function joinLiveness(verdicts: readonly ProbeAnswer[]): ProbeAnswer {
  const ok = verdicts.every((verdict) => verdict.ok);
  const bodies = verdicts.map(({ body }) => body);
  return {
    ok,
    body: Object.assign({ runners: [] }, ...bodies, { status: ok ? 'alive' : 'hangs' }) as ProbeAnswer['body'],
  };
}

/** What a part has to say about whether it does its work. */
export interface PartReadiness {
  /** Why it is not ready; none: it is. */
  readonly reasons: readonly string[];
  /** Shown as JSON. */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface ReadinessFacts {
  readonly phase: 'starting' | 'running' | 'stopping';
  /** null: the database answers and has the tables. */
  readonly databaseTrouble: string | null;
  readonly parts: readonly PartReadiness[];
}

export function relayReadiness(states: readonly RunnerState[]): PartReadiness {
  const subscriptions = states.map(({ subscription, shard, role, breaker, trouble }) => {
    // Said, but no reason not to be ready: messages wait in the log, and no other process could do better.
    const broker = trouble === null && breaker === 'closed' ? 'ok' : (trouble ?? `breaker ${breaker}`);
    return { subscription, shard, role, broker };
  });
  const unknown = states.filter(({ role }) => role === 'starting').length;
  return {
    reasons: unknown > 0 ? [`${unknown} of ${states.length} leases not yet asked for`] : [],
    body: { subscriptions },
  };
}

export function judgeReadiness({ phase, databaseTrouble, parts }: ReadinessFacts): ProbeAnswer {
  const reasons = [
    ...(phase === 'running' ? [] : [phase]),
    ...(databaseTrouble === null ? [] : [`database: ${databaseTrouble}`]),
    ...(phase === 'running' ? parts.flatMap((part) => part.reasons) : []),
  ];
  const ok = reasons.length === 0;
  const bodies = parts.map(({ body }) => body);
  return { ok, body: Object.assign({ status: ok ? 'ready' : 'not ready', reasons }, ...bodies) as ProbeAnswer['body'] };
}

/** `sagas`: null where they are not known. */
export function workerReadiness(
  { id, progress: { inMemory, waiting }, repliesHealth }: Pick<Worker, 'id' | 'progress' | 'repliesHealth'>,
  sagas: readonly string[] | null,
): PartReadiness {
  const health = repliesHealth();
  // Said, but no reason not to be ready, as with the relay's broker.
  const replies = health === null ? null : { broker: health.trouble ?? 'ok', remarks: health.queue?.remarks ?? [] };
  return {
    reasons: id === '' ? ['the worker has no lease'] : [],
    body: {
      worker: { id, inMemory, waiting, ...(sagas === null ? {} : { sagas }), ...(replies === null ? {} : { replies }) },
    },
  };
}
