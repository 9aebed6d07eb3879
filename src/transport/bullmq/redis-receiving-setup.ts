/**
 * What a receiver's connections to one server and to a cluster have alike, and what they do differently.
 */
import type { Redis } from 'ioredis';
import type { ReceiverConnection } from './broker.ts';
import type { KeptClients } from './kept-clients.ts';
import type { BullmqSettings } from './options.ts';

export interface ReceivingSetup {
  readonly prefix: string;
  readonly settings: BullmqSettings;
  readonly clients: KeptClients;
  /** To be called with each client when it is ready for the first time. */
  readonly inspect: (client: Redis) => void;
}

export type ConnectionsToServers = Omit<
  ReceiverConnection,
  'ready' | 'hint' | 'pipelines' | 'prefix' | 'factory' | 'disconnect'
>;
