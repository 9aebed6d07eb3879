/**
 * The health of all endpoints of a transport. Those that are well are not remembered.
 */
import type { Clock } from '../../runtime/clock.ts';
import {
  healthAfterFailure,
  healthAfterHoldUp,
  healthAfterSuccess,
  askedToWait,
  type EndpointHealth,
  type HealthPolicy,
  isOnTrial,
  restLeftMs,
  WELL,
} from './endpoint-health.ts';

export interface EndpointStatesOptions {
  readonly policy: HealthPolicy;
  /** How long an endpoint may keep the others waiting, in milliseconds. */
  readonly patienceMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  /** Told when an endpoint begins to be left alone because it fails. */
  readonly onRest: (name: string, restMs: number, error: Error) => void;
}

/** Ones that are not well; beyond that the one that changed longest ago is taken for well. */
const MOST = 10_000;

export class EndpointStates {
  readonly #options: EndpointStatesOptions;
  readonly #states = new Map<string, EndpointHealth>();

  constructor(options: EndpointStatesOptions) {
    this.#options = options;
  }

  /** Milliseconds in which nothing is to be sent to it. */
  restLeft(name: string): number {
    return restLeftMs(this.#of(name), this.#options.clock.monotonic());
  }

  isOnTrial(name: string): boolean {
    return isOnTrial(this.#of(name));
  }

  succeeded(name: string): void {
    if (this.#states.has(name)) this.#set(name, healthAfterSuccess(this.#of(name)));
  }

  failed(name: string, error: Error): void {
    const { policy, clock, random, onRest } = this.#options;
    const before = this.#of(name);
    const nowMs = clock.monotonic();
    const after = healthAfterFailure(before, policy, { nowMs, random });
    this.#set(name, after);
    if (after.openings > before.openings) onRest(name, restLeftMs(after, nowMs), error);
  }

  asked(name: string, waitMs: number): void {
    this.#set(name, askedToWait(this.#of(name), waitMs, this.#options.clock.monotonic()));
  }

  heldUp(name: string, heldMs: number): void {
    const { patienceMs, clock } = this.#options;
    if (heldMs > patienceMs) this.#set(name, healthAfterHoldUp(this.#of(name), heldMs, patienceMs, clock.monotonic()));
  }

  #of(name: string): EndpointHealth {
    return this.#states.get(name) ?? WELL;
  }

  #set(name: string, health: EndpointHealth): void {
    this.#states.delete(name);
    const { failures, openings } = health;
    if (failures === 0 && openings === 0 && restLeftMs(health, this.#options.clock.monotonic()) === 0) return;
    this.#states.set(name, health);
    if (this.#states.size > MOST) this.#states.delete(this.#states.keys().next().value as string);
  }
}
