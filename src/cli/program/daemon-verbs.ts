/**
 * The verbs that run until they are stopped, their flags and help.
 */
import { Option } from 'commander';
import { ALERTS, BROKER, CONSUMERS, DASHBOARD, RELAY, SAGAS, WORKER, type SettingName } from '../config/options.ts';
import { daemonOptions, type Shell } from './shell.ts';

const namesOf = (...groups: readonly object[]): SettingName[] => groups.flatMap(Object.keys) as SettingName[];

/** What a worker shares with the relay. */
const PROCESS: readonly SettingName[] = ['lease', 'httpHost', 'httpPort', 'shutdownDeadline', 'logLevel', 'logFormat'];

export function addRelayDaemon({ printing }: Shell): void {
  const relay = printing(
    {
      name: 'relay',
      description: 'publish every committed message; runs until it is stopped',
      settings: namesOf(BROKER, RELAY, ALERTS),
    },
    async (context) => (await import('../verbs/relay.ts')).relay(context),
  );
  daemonOptions(relay);
}

export function addWorkerDaemons({ printing }: Shell): void {
  const worker = printing(
    {
      name: 'worker',
      description: 'run sagas; runs until it is stopped',
      settings: [...namesOf(SAGAS, WORKER, BROKER), 'transport', ...PROCESS, ...namesOf(ALERTS)],
    },
    async (context) => (await import('../verbs/worker.ts')).worker(context),
  );
  daemonOptions(worker);
  const start = printing(
    {
      name: 'start',
      description: 'relay, worker and consumers in one process',
      settings: namesOf(SAGAS, CONSUMERS, WORKER, BROKER, RELAY, ALERTS),
    },
    async (context) => (await import('../verbs/worker.ts')).start(context),
  );
  daemonOptions(start);
}

/** Development: one command that brings what is missing. */
export function addDevDaemon({ printing }: Shell): void {
  const dev = printing(
    {
      name: 'dev',
      description: 'for development: all of it on this machine, with a database, restarted when code changes',
      settings: namesOf(SAGAS, CONSUMERS, WORKER, BROKER, RELAY, ALERTS, DASHBOARD),
      bringsDatabase: true,
    },
    async (context, args) => {
      if (context.flags['servicesOnly'] === true) return (await import('../dev/services.ts')).devServices(context);
      return (await import('../dev/dev.ts')).dev(context, args);
    },
  );
  dev
    .argument('[command...]', 'a program of yours that runs beside, behind --: holdfast dev -- npm start')
    .addOption(new Option('--services-only').hideHelp());
}

export function addDashboardDaemon({ printing }: Shell): void {
  printing(
    {
      name: 'dashboard',
      description: 'a web page and a service API to see everything and mend anything; runs until it is stopped',
      settings: [...namesOf(DASHBOARD, SAGAS, BROKER), 'shutdownDeadline', 'logLevel', 'logFormat'],
    },
    async (context) => (await import('../verbs/dashboard.ts')).dashboard(context),
  );
}
