/**
 * What a transport on Redis was told of its server.
 */
import type { RedisPlace } from '../redis/redis-place.ts';

export interface RedisSetup {
  readonly place: RedisPlace;
  readonly prefix: string;
  /** How many replicas must have a message before it counts as published. */
  readonly replicas: number;
}
