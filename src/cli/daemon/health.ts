/**
 * What the probes answer. Pure judgements; used by the daemon's HTTP pages.
 *
 * Liveness asks whether a restart would help: whether some runner hangs. A standby, a broker that is away, a database that is down
 * are no reason to be killed. Readiness asks whether this process does its part now.
 */
import type { RunnerState } from '../../relay/runner.ts';

export interface Verdict {
  readonly ok: boolean;
  /** Shown as JSON. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** `nowMs` on the same monotonic clock as the states. */
export function judgeLiveness(states: readonly RunnerState[], nowMs: number): Verdict {
  const runners = states.map(({ subscription, shard, role, lastTickAtMs, patienceMs }) => {
    const silentMs = Math.max(0, Math.round(nowMs - lastTickAtMs));
    return { subscription, shard, role, silentMs, hangs: silentMs > patienceMs };
  });
  const ok = !runners.some(({ hangs }) => hangs);
  return { ok, body: { status: ok ? 'alive' : 'hangs', runners } };
}

export interface ReadinessFacts {
  readonly phase: 'starting' | 'running' | 'stopping';
  /** null: the database answers and has the tables. */
  readonly databaseTrouble: string | null;
  readonly states: readonly RunnerState[];
}

export function judgeReadiness({ phase, databaseTrouble, states }: ReadinessFacts): Verdict {
  const subscriptions = states.map(({ subscription, shard, role, breaker, trouble }) => {
    // Said, but no reason not to be ready: messages wait in the log, and no other process could do better.
    const broker = trouble === null && breaker === 'closed' ? 'ok' : (trouble ?? `breaker ${breaker}`);
    return { subscription, shard, role, broker };
  });
  const unknown = states.filter(({ role }) => role === 'starting').length;
  const reasons = [
    ...(phase === 'running' ? [] : [phase]),
    ...(databaseTrouble === null ? [] : [`database: ${databaseTrouble}`]),
    ...(phase === 'running' && unknown > 0 ? [`${unknown} of ${states.length} leases not yet asked for`] : []),
  ];
  const ok = reasons.length === 0;
  return { ok, body: { status: ok ? 'ready' : 'not ready', reasons, subscriptions } };
}
