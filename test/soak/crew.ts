/**
 * The processes under a supervisor, as one has it in earnest: what cannot start because a server is away is started again, and so is what ends by
 * itself, which is told, because nothing that goes wrong here is a reason to end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Programs } from '../../.ci/compile-programs.ts';
import { launchFleet, type Fleet } from '../../demo/fleet.ts';
import {
  isBehindNetwork,
  kindOf,
  WORK_PROCESSES,
  type DatabaseUrls,
  type NetworkOrder,
  type NetworkSettings,
  type Said,
  type SoakProcess,
  type SoakSettings,
  type WorkProcess,
} from './setting.ts';
import { SERVICE_NAMES } from '../../demo/world.ts';

export const SOAK_PROGRAMS = ['relay', 'worker', 'service', 'consumer', 'writer', 'network'].map((name) =>
  fileURLToPath(new URL(`processes/${name}.ts`, import.meta.url)),
);

export interface CrewOptions {
  readonly settings: Omit<SoakSettings, 'clockAheadMs'>;
  readonly network: NetworkSettings;
  readonly logs: string | undefined;
  /** Told of a process that ended by itself, which nothing here makes it do. */
  readonly onDeath: (name: SoakProcess, what: string) => void;
  readonly onSaid: (said: Said) => void;
  /** Told of a process that was killed because it took over a minute to stop: its servers may have been silent. */
  readonly onSlowStop: (name: SoakProcess) => void;
}

export interface Crew {
  readonly fleet: Fleet<SoakProcess>;
  /** All of them; the network first. */
  startAll(): Promise<void>;
  /** Resolves when it is at work, however often that takes. */
  start(name: WorkProcess, options?: { readonly clockAheadMs?: number }): Promise<void>;
  /** SIGTERM, and SIGKILL after a minute. */
  stop(name: WorkProcess): Promise<void>;
  turnWeather(weather: NetworkOrder['weather']): void;
  /** Nothing that ends from now on is started again. */
  over(): void;
}

const START_AGAIN_MS = 1_000;
/** That it does not start for so often is no matter of servers that are away. */
const MOST_STARTS = 30;

export function launchCrew(programs: Programs, options: CrewOptions): Crew {
  const { settings, network, logs, onDeath, onSaid, onSlowStop } = options;
  const starting = new Set<SoakProcess>();
  const ahead = new Map<SoakProcess, number>();
  let addresses: NetworkSettings = network;
  let isOver = false;

  const fleet = launchFleet<SoakProcess>(
    {
      programOf: (name) => `${SERVICE_NAMES.some((each) => each === name) ? 'service' : kindOf(name)}.ts`,
      settingsOf(name) {
        if (name === 'network') return network;
        const { postgresUrl, redisUrl } = isBehindNetwork(name) ? addresses : network;
        return {
          ...settings,
          databases: throughPort(settings.databases, new URL(postgresUrl).port),
          broker: { ...settings.broker, url: redisUrl },
          clockAheadMs: ahead.get(name) ?? 0,
        } satisfies SoakSettings;
      },
    },
    programs,
    {
      logs,
      onTold(_name, said) {
        const heard = said as Said;
        if (heard.kind === 'network') addresses = heard;
        onSaid(heard);
      },
      onDeath(name, what) {
        if (isOver || starting.has(name)) return;
        onDeath(name, what);
        if (name !== 'network') void start(name);
      },
    },
  );

  async function start(name: SoakProcess): Promise<void> {
    starting.add(name);
    try {
      for (let attempt = 1; !isOver; attempt += 1) {
        try {
          await fleet.start(name);
          return;
        } catch (error) {
          if (attempt % MOST_STARTS === 0) onDeath(name, error instanceof Error ? error.message : String(error));
          await sleep(START_AGAIN_MS);
        }
      }
    } finally {
      starting.delete(name);
    }
  }

  return {
    fleet,
    async startAll() {
      await fleet.start('network');
      await Promise.all(WORK_PROCESSES.map((name) => start(name)));
    },
    start(name, { clockAheadMs = 0 } = {}) {
      ahead.set(name, clockAheadMs);
      return start(name);
    },
    async stop(name) {
      if (!(await fleet.stop(name))) onSlowStop(name);
    },
    turnWeather: (weather) => fleet.tell('network', { kind: 'network', weather }),
    over() {
      isOver = true;
    },
  };
}

function throughPort(urls: DatabaseUrls, port: string): DatabaseUrls {
  const moved = Object.entries(urls).map(([name, url]) => [name, Object.assign(new URL(url), { port }).href]);
  return Object.fromEntries(moved) as DatabaseUrls;
}
