/**
 * Loads what speaks to Redis: nothing before somebody publishes or receives.
 */
import { loadClient } from '../load-client.ts';
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
export function loaded<T>(load: () => Promise<T>): Promise<T> {
  return loadClient(
    {
      failure: (why) => `The client of Redis cannot be loaded: ${why}`,
      packages: ['ioredis'],
      adviceWhenMissing: 'It is not installed with holdfast: npm install ioredis',
      adviceElse: 'Install the dependencies of holdfast anew; a bundle must hold ioredis, or find it.',
    },
    load,
  );
}
