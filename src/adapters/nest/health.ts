/**
 * How Holdfast is, in the shape that @nestjs/terminus takes.
 */
import type { ServiceGroup } from '../services/service-group.ts';

/** By the key that was asked for. */
export type HoldfastHealthResult = Readonly<
  Record<string, { readonly status: 'up' | 'down'; readonly [detail: string]: unknown }>
>;

/**
 * Inject it into a controller of health checks; with @nestjs/terminus: `health.check([() => holdfast.isReady()])`. The judgement is that of
 * `/readyz` and `/livez` of the daemon.
 *
 * @example
 * const holdfast = new HoldfastHealth(createServiceGroup({ database, services: [] }));
 * console.log(await holdfast.isReady()); // { holdfast: { status: 'up', … } }
 */
export class HoldfastHealth {
  readonly #group: Pick<ServiceGroup, 'ready' | 'live'>;

  constructor(group: Pick<ServiceGroup, 'ready' | 'live'>) {
    this.#group = group;
  }

  /** Whether all parts do their work, and the database answers and has its tables. */
  async isReady(key = 'holdfast'): Promise<HoldfastHealthResult> {
    const { ok, body } = await this.#group.ready();
    return { [key]: { ...body, status: ok ? 'up' : 'down' } };
  }

  /** Whether a restart would not help. */
  async isAlive(key = 'holdfast'): Promise<HoldfastHealthResult> {
    const { ok, body } = await this.#group.live();
    return { [key]: { ...body, status: ok ? 'up' : 'down' } };
  }
}
