/**
 * The verbs that run until they are stopped, their flags and help.
 */
import { ALERTS, BROKER, DASHBOARD, RELAY, SAGAS, WORKER, type SettingName } from '../config/options.ts';
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
      description: 'relay and worker in one process',
      settings: namesOf(SAGAS, WORKER, BROKER, RELAY, ALERTS),
    },
    async (context) => (await import('../verbs/worker.ts')).start(context),
  );
  daemonOptions(start);
  const dev = printing(
    {
      name: 'dev',
      description:
        'for development: migrations, then relay (where there are routes), worker and dashboard in one process',
      settings: namesOf(SAGAS, WORKER, BROKER, RELAY, ALERTS, DASHBOARD),
    },
    async (context) => (await import('../verbs/worker.ts')).dev(context),
  );
  dev.option('--no-http', 'no pages for probes and metrics');
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
