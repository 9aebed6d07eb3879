/**
 * The setting of a soak: which databases there are, which processes work on them, and what each is told when it is started.
 */
import type { Pace } from '../../demo/processes/link.ts';
import type { Broker } from '../../demo/broker.ts';
import { SERVICE_NAMES, type ServiceName, type World } from '../../demo/world.ts';

/** Beside those of the four services of the demo: whose messages are the flood, and whose consumers handle it. */
export const DATABASE_NAMES = [...SERVICE_NAMES, 'flood', 'sink'] as const;
export type DatabaseName = (typeof DATABASE_NAMES)[number];

/** The kinds of processes, besides the services, of which there are two each. */
const PAIRS = ['relay', 'worker', 'consumer', 'writer'] as const;
type Pair = (typeof PAIRS)[number];
export type WorkProcess = ServiceName | `${Pair}-${1 | 2}`;
/** `network` carries what the second of each pair says to its servers. */
export type SoakProcess = WorkProcess | 'network';

export const WORK_PROCESSES: readonly WorkProcess[] = [
  ...SERVICE_NAMES,
  ...PAIRS.flatMap((name) => [`${name}-1` as const, `${name}-2` as const]),
];
export const WRITERS = WORK_PROCESSES.filter((name) => name.startsWith('writer-'));

/** Never ended by an accident, but spared no other one: what grows in a process without an end shows in these. */
export const LASTING: readonly WorkProcess[] = ['relay-1', 'worker-1', 'consumer-1'];

/** `relay` of `relay-2`; a service is its own kind. */
export function kindOf(name: SoakProcess): string {
  return name.replace(/-\d$/, '');
}

/** Whether it reaches its servers by way of `network`. */
export function isBehindNetwork(name: SoakProcess): boolean {
  return name.endsWith('-2') || name === 'payment';
}

export type DatabaseUrls = Readonly<Record<DatabaseName, string>>;

/** How long things are kept, in milliseconds. */
export interface Keeping {
  /** Messages in the outboxes. */
  readonly messagesMs: number;
  /** Runs that have ended: longer than the judge waits for what is missing of them. */
  readonly runsMs: number;
  /** Marks of consumers: longer than a message can come again. */
  readonly marksMs: number;
  /** What participants remember of calls: longer than a run may last. */
  readonly callsMs: number;
}

/** What a process is sent when it is started. */
export interface SoakSettings {
  readonly world: World;
  readonly databases: DatabaseUrls;
  readonly broker: Broker;
  readonly pace: Pace;
  readonly keeping: Keeping;
  /** For each writer: messages and orders a second, at most. */
  readonly load: { readonly messages: number; readonly orders: number };
  /** By how much its wall clock is ahead of the others', in milliseconds. */
  readonly clockAheadMs: number;
}

/** What the network process is started with. */
export interface NetworkSettings {
  readonly postgresUrl: string;
  readonly redisUrl: string;
}

/** Writers are told each time that the judge has looked. */
export interface Gate {
  readonly kind: 'gate';
  /** The floods that have room for more: one that has fallen behind keeps none of the others back. */
  readonly floods: readonly string[];
  readonly orders: boolean;
}

/** What the network is told. */
export interface NetworkOrder {
  readonly kind: 'network';
  /**
   * calm: all is well. cut: every connection, now. commits: some connections, in the middle of a COMMIT, before it or with its answer lost.
   * silent: nothing comes through any more, and nothing breaks. slow: everything is late.
   */
  readonly weather: 'calm' | 'cut' | 'commits' | 'silent' | 'slow';
}

/** What processes say, besides what they count. */
export type Said =
  /** The network is there, at these addresses. */
  | { readonly kind: 'network'; readonly postgresUrl: string; readonly redisUrl: string }
  /** Commits that were answered: the greatest number of each stream, and how many orders. */
  | { readonly kind: 'acknowledged'; readonly streams: Readonly<Record<string, number>>; readonly orders: number };
