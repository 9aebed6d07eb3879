/**
 * What the dashboard is given, and what is made of it: checked before anything is opened.
 */
import type { DoctorOptions } from '../../operations/doctor/finding.ts';
import { assertDatabaseNames, ONLY_DATABASE } from '../../operations/databases/database-names.ts';
import type { Database } from '../../postgres/database.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import type { Logger } from '../../runtime/log.ts';
import { safeLogger } from '../../runtime/observers.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import { createRedactor, type Redactor } from '../../runtime/redact.ts';
import type { AnySaga } from '../../saga/definition/definition.ts';
import { settleAlerts, type DashboardAlerts, type SettledAlerts } from './alerts-view.ts';
import { createAddressList, type AddressList } from './addresses.ts';
import { assertDashboardRole, type Authenticator, type Principal, type SignOn } from './authenticator.ts';
import type { DashboardRole } from './contract.ts';
import { CALLBACK_PATH } from './sign-on.ts';

/** Options of {@link createDashboard}. */
export interface DashboardOptions {
  /**
   * Where the tables are. The dashboard opens a few connections of its own with the same settings.
   *
   * @defaultValue none: then `databases` is required
   */
  readonly database?: Database | undefined;
  /**
   * Several databases instead of one, by names that addresses can hold: `{ orders, payments }`. One page shows all of them, and each alone.
   * Each has connections of its own, and one that does not answer holds up no other. At most 50.
   *
   * @defaultValue none
   */
  readonly databases?: Readonly<Record<string, Database>> | undefined;
  /**
   * How people and programs say who they are: `tokenAuthenticator`, `proxyAuthenticator`, `oidcAuthenticator`, or your own.
   *
   * @defaultValue none: then `anonymous` is required
   */
  readonly authenticators?: readonly Authenticator[] | undefined;
  /**
   * The role of whoever sits at the machine itself and has not logged in: of requests that come from a loopback address, by a name of this
   * machine, and through no proxy. Whoever has an account on the machine can send such requests.
   *
   * @defaultValue none: everybody has to log in
   */
  readonly anonymous?: DashboardRole | undefined;
  /**
   * The path that the dashboard is mounted at, as browsers have it, such as '/ops/holdfast'.
   *
   * @defaultValue '' (it has the host to itself)
   */
  readonly basePath?: string | undefined;
  /**
   * Addresses and ranges of proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are believed.
   *
   * @defaultValue none
   */
  readonly trustedProxies?: readonly string[] | undefined;
  /**
   * Names by which browsers call it, without ports, such as 'ops.example.com'. Requests by other names are refused; those of this machine
   * are always among them.
   *
   * @defaultValue any, but for requests from this machine, which must call it by a name of this machine
   */
  readonly hosts?: readonly string[] | undefined;
  /**
   * The sagas that run here: they are drawn, and signals are checked against them.
   *
   * @defaultValue not known
   */
  readonly sagas?: readonly AnySaga[] | undefined;
  /**
   * Payloads, inputs and results are hidden until an operator asks to see one, with a reason, which the audit records.
   *
   * @defaultValue false
   */
  readonly hidePayloads?: boolean | undefined;
  /**
   * Fields of payloads that nobody is shown, by their paths: as `redact` of the configuration file.
   *
   * @defaultValue none
   */
  readonly redact?: readonly string[] | undefined;
  /**
   * How long a login lasts.
   *
   * @defaultValue '12h'
   */
  readonly sessionTime?: Duration | undefined;
  /**
   * What sessions are signed with: at least 32 characters, made by chance. Give it where several processes serve one address.
   *
   * @defaultValue one of this process, so that everybody logs in again after a restart
   */
  readonly sessionKey?: string | undefined;
  /** What the pages of the doctor and of the queues look at beside PostgreSQL. */
  readonly doctor?: DoctorOptions | undefined;
  /**
   * What the processes that watch for alerts were given: by it is told what is late, what counts, and for how long an alert is quiet.
   *
   * @defaultValue the defaults of alerts: a message is late after a minute
   */
  readonly alerts?: DashboardAlerts | undefined;
  /**
   * Folder with the built page.
   *
   * @defaultValue the one in the package
   */
  readonly pageFolder?: string | undefined;
  /** @defaultValue silence */
  readonly log?: Logger | undefined;
}

const KNOWN = [
  'database',
  'databases',
  'authenticators',
  'anonymous',
  'basePath',
  'trustedProxies',
  'hosts',
  'sagas',
  'hidePayloads',
  'redact',
  'sessionTime',
  'sessionKey',
  'doctor',
  'alerts',
  'pageFolder',
  'log',
] as const;

export interface SettledDashboard {
  /** By name, one at the least. */
  readonly databases: ReadonlyMap<string, Database>;
  readonly authenticators: readonly Authenticator[];
  /** Of the authenticator that has one. */
  readonly signOn: SignOn | null;
  readonly anonymous: Principal | null;
  readonly basePath: string;
  readonly trustedProxies: AddressList;
  readonly hosts: ReadonlySet<string>;
  readonly redact: Redactor;
  readonly alerts: SettledAlerts;
  readonly sessionTimeMs: number;
  readonly sessionKey: string | undefined;
  readonly log: Logger;
  readonly clock: Clock;
}

const WHERE = 'createDashboard';
const LEAST_KEY = 32;

/** Throws HF_CONFIG, HF_OPTION_UNKNOWN or HF_DURATION. */
export function settleDashboard(options: DashboardOptions & { readonly clock?: Clock }): SettledDashboard {
  refuseUnknownOptions(options, [...KNOWN, 'clock'], WHERE);
  const { authenticators = [], anonymous, trustedProxies = [], hosts = [], sessionKey } = options;
  if (authenticators.length === 0 && anonymous === undefined) {
    throw badOption(
      WHERE,
      'has no authenticator, so nobody could be let in',
      "Give `authenticators`; or, for a machine that only people with all rights can reach, `anonymous: 'admin'`.",
    );
  }
  if (sessionKey !== undefined && sessionKey.length < LEAST_KEY)
    throw badOption(
      WHERE,
      `has a sessionKey of fewer than ${LEAST_KEY} characters`,
      'Make it by `openssl rand -hex 32`.',
    );
  const basePath = assertBasePath(options.basePath ?? '');
  return {
    databases: settleDatabases(options),
    authenticators,
    signOn: assertSignOn(authenticators, basePath),
    anonymous: anonymous === undefined ? null : { actor: 'anonymous', role: assertDashboardRole(anonymous, WHERE) },
    basePath,
    trustedProxies: createAddressList(trustedProxies, `${WHERE}: trustedProxies`),
    hosts: new Set(hosts.map((host) => assertHost(host))),
    redact: createRedactor(options.redact ?? [], `${WHERE}: redact`),
    alerts: settleAlerts(options.alerts ?? {}, `${WHERE}: alerts`),
    sessionTimeMs: parseDuration(options.sessionTime ?? '12h', 'sessionTime'),
    sessionKey,
    log: safeLogger(options.log),
    clock: options.clock ?? systemClock,
  };
}

/** The one that was given has the name that databases without one have. */
function settleDatabases({ database, databases }: DashboardOptions): SettledDashboard['databases'] {
  if ((database === undefined) === (databases === undefined))
    throw badOption(
      WHERE,
      database === undefined ? 'has no database' : 'has both database and databases',
      'Give `database`, or several by their names in `databases`.',
    );
  const named = databases ?? (database === undefined ? {} : { [ONLY_DATABASE]: database });
  assertDatabaseNames(Object.keys(named), `${WHERE}: databases`);
  return new Map(Object.entries(named));
}

/** The one that there is, if any; where it comes back to must be ours. */
function assertSignOn(authenticators: readonly Authenticator[], basePath: string): SignOn | null {
  const [signOn, ...others] = authenticators.flatMap((each) => (each.signOn === undefined ? [] : [each.signOn]));
  if (signOn === undefined) return null;
  if (others.length > 0) throw badOption(WHERE, 'is given several identity providers', 'Give one that knows all.');
  const expected = `${basePath}${CALLBACK_PATH}`;
  if (signOn.callback.pathname === expected) return signOn;
  throw badOption(
    WHERE,
    `is at the path ${JSON.stringify(basePath)}, and the identity provider sends people back to ${signOn.callback.pathname}`,
    'Give the same path in `basePath` and in the `url` of the authenticator.',
  );
}

/** What would be taken for paths of our own, when what mounts us takes it away. */
const OWN = new Set(['/api', '/login', '/logout', '/livez', '/assets']);

function assertBasePath(given: string): string {
  const path = given.replace(/\/$/, '');
  if (/^(?:\/[\w.~-]+)*$/.test(path) && !/\/\.\.?(?:\/|$)/.test(path) && !OWN.has(path)) return path;
  throw badOption(WHERE, `has the basePath ${JSON.stringify(given)}`, "Give a path such as '/ops/holdfast'.");
}

function assertHost(host: string): string {
  const name = host.toLowerCase();
  if (/^(?:[a-z0-9_-]+\.)*[a-z0-9_-]+$/.test(name) || /^\[[0-9a-f:.]+\]$/.test(name)) return name;
  throw badOption(
    WHERE,
    `has the host ${JSON.stringify(host)}`,
    "Give names without ports, such as 'ops.example.com'.",
  );
}
