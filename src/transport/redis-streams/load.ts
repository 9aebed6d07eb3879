/**
 * Loads what speaks to Redis: nothing before somebody publishes or receives.
 */
import { HoldfastError } from '../../errors.ts';
import { missingPackage } from '../../runtime/missing-package.ts';
import type { StreamsConnection } from './connection.ts';
import type { StreamsSettings } from './options.ts';

/** Opens no connection before it is used. */
export type OpenStreams = () => Promise<StreamsConnection>;

export function openStreams(settings: StreamsSettings): OpenStreams {
  return async () => {
    const { StreamsConnection: Connection } = await loaded(() => import('./connection.ts'));
    return new Connection(settings);
  };
}

/** Settles as `load` does, but says what failed. A later call tries again. */
export async function loaded<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `The client of Redis cannot be loaded: ${why}`, {
      advice:
        missingPackage(cause, ['ioredis']) === undefined
          ? 'Install the dependencies of holdfast anew; a bundle must hold ioredis, or find it.'
          : 'It is not installed with holdfast: npm install ioredis',
      cause,
    });
  }
}
