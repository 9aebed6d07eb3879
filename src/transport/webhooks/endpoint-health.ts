/**
 * When an endpoint is left alone: after failures in a row (for longer each time it fails again), for as long as it asks, and after it has
 * held up the others. Pure.
 */

export interface EndpointHealth {
  /** In a row. */
  readonly failures: number;
  /** How often in a row it was left alone because of them. */
  readonly openings: number;
  /** On the monotonic clock, in milliseconds. */
  readonly restUntilMs: number;
}

export interface HealthPolicy {
  readonly consecutiveFailures: number;
  /** The first rest. */
  readonly halfOpenAfterMs: number;
}

export const WELL: EndpointHealth = { failures: 0, openings: 0, restUntilMs: 0 };

/** No endpoint is left alone for longer because of failures. */
const LONGEST_REST_MS = 300_000;
/** Nor for longer than this because it asks. */
const LONGEST_ASKED_MS = 3_600_000;
/** Of its time, an endpoint may hold up the others for one part in ten. */
const REST_FOR_EACH_HELD = 9;

export function restLeftMs({ restUntilMs }: EndpointHealth, nowMs: number): number {
  return Math.max(0, restUntilMs - nowMs);
}

/** Whether one request is to find out first whether it is back. */
export function isOnTrial({ openings }: EndpointHealth): boolean {
  return openings > 0;
}

/** After a request that failed. Those that were under way when the rest began say nothing new. */
export function healthAfterFailure(
  health: EndpointHealth,
  { consecutiveFailures, halfOpenAfterMs }: HealthPolicy,
  { nowMs, random }: { readonly nowMs: number; readonly random: () => number },
): EndpointHealth {
  if (restLeftMs(health, nowMs) > 0) return health;
  const failures = health.failures + 1;
  if (failures < consecutiveFailures) return { ...health, failures };
  const openings = health.openings + 1;
  const longestMs = Math.min(LONGEST_REST_MS, halfOpenAfterMs * 2 ** (openings - 1));
  // Half of it at random: endpoints that one outage took with it are not all tried at once.
  const restMs = longestMs / 2 + (random() * longestMs) / 2;
  return { failures: consecutiveFailures - 1, openings, restUntilMs: nowMs + restMs };
}

/** After an answer that asks for time (Retry-After). It says nothing about whether the endpoint is well. */
export function askedToWait(health: EndpointHealth, waitMs: number, nowMs: number): EndpointHealth {
  return resting(health, Math.min(waitMs, LONGEST_ASKED_MS), nowMs);
}

/** After its messages have kept the others waiting for `heldMs`. */
export function healthAfterHoldUp(
  health: EndpointHealth,
  heldMs: number,
  patienceMs: number,
  nowMs: number,
): EndpointHealth {
  return heldMs <= patienceMs ? health : resting(health, heldMs * REST_FOR_EACH_HELD, nowMs);
}

/**
 * For how long each endpoint of a call has kept the quickest of the others waiting: what the process itself was late for, all were.
 *
 * @param busyMs how long the requests of each took
 */
export function holdUps(busyMs: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  return new Map(
    [...busyMs].map(([name, ownMs]) => {
      const others = [...busyMs].flatMap(([other, ms]) => (other === name ? [] : [ms]));
      return [name, ownMs - (others.length === 0 ? 0 : Math.min(...others))];
    }),
  );
}

function resting(health: EndpointHealth, restMs: number, nowMs: number): EndpointHealth {
  return { ...health, restUntilMs: Math.max(health.restUntilMs, nowMs + restMs) };
}

/** After an answer that took the message. A rest it was given meanwhile stands. */
export function healthAfterSuccess({ restUntilMs }: EndpointHealth): EndpointHealth {
  return { failures: 0, openings: 0, restUntilMs };
}
