/**
 * What the processes of `holdfast dev` find in their environment, and the ports they use. Pure but for the look at ports.
 */
import { HoldfastError } from '../../errors.ts';
import type { HoldfastConfig } from '../../operations/config.ts';
import { isPortFree } from '../../servers/machine.ts';
import type { Given } from '../config/options.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface DevEnvironment {
  readonly env: Env;
  readonly given: Given;
  readonly config: HoldfastConfig;
  /** Undefined: the driver's own variables say where it is. */
  readonly databaseUrl: string | undefined;
  readonly dashboardPort: number;
  readonly color: boolean;
}

/** A worker that is killed is to be missed soon. */
const LEASE = '5s';
/** Then the next start does not wait for what the one before has under way. */
const SHUTDOWN_DEADLINE = '3s';
const DASHBOARD_PORT = 9465;
const PORTS_TRIED = 50;

/** Of the user's own program. */
export function companionEnv({ env, databaseUrl, given, config, color }: DevEnvironment): Env {
  const redisUrl = given.redisUrl ?? config.redis?.url;
  return {
    ...env,
    ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
    ...(redisUrl === undefined ? {} : { REDIS_URL: redisUrl }),
    ...(color ? { FORCE_COLOR: env['FORCE_COLOR'] ?? '1' } : {}),
  };
}

/** Of the process with the services: the same, and what is better for development where nothing else is said. */
export function servicesEnv(options: DevEnvironment): Env {
  const { given, config, databaseUrl } = options;
  return {
    ...companionEnv({ ...options, color: false }),
    ...(databaseUrl === undefined ? {} : { HOLDFAST_DATABASE_URL: databaseUrl }),
    ...(given.database === undefined ? {} : { HOLDFAST_DATABASE: given.database }),
    ...(saysLease(given, config) ? {} : { HOLDFAST_LEASE: LEASE }),
    ...(given.shutdownDeadline === undefined && config.shutdown?.deadline === undefined
      ? { HOLDFAST_SHUTDOWN_DEADLINE: SHUTDOWN_DEADLINE }
      : {}),
  };
}

function saysLease(given: Given, { sagas, subscriptions = [] }: HoldfastConfig): boolean {
  const own = typeof sagas === 'object' ? sagas.lease : undefined;
  return given.lease !== undefined || own !== undefined || subscriptions.some(({ lease }) => lease !== undefined);
}

/** The one that was asked for, or the first from 9465 on that is free. Rejects with HF_CONFIG. */
export async function chooseDashboardPort(given: Given, config: HoldfastConfig): Promise<number> {
  const wanted = given.port ?? config.dashboard?.port;
  if (wanted !== undefined && wanted !== 0) {
    if (await isPortFree(wanted)) return wanted;
    throw new HoldfastError('HF_CONFIG', `Port ${wanted} is in use, and the dashboard is to be there.`, {
      advice: 'End what has it, choose another --port, or leave it out: then a free one is taken.',
    });
  }
  for (let port = DASHBOARD_PORT; port < DASHBOARD_PORT + PORTS_TRIED; port += 1) {
    // The lowest that is free: one after the other.
    // oxlint-disable-next-line no-await-in-loop
    if (await isPortFree(port)) return port;
  }
  throw new HoldfastError('HF_CONFIG', `No port from ${DASHBOARD_PORT} on is free.`, { advice: 'Choose a --port.' });
}
