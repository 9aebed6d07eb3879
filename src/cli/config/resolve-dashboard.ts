/**
 * Flags over environment over configuration file over defaults: where the dashboard listens, and whom it knows.
 */
import {
  oidcAuthenticator,
  proxyAuthenticator,
  tokenAuthenticator,
  type AlertChannel,
  type Authenticator,
  type DashboardOptions,
} from '../../dashboard/dashboard.ts';
import { isLoopbackAddress, isLoopbackName } from '../../dashboard/server/addresses.ts';
import { HoldfastError } from '../../errors.ts';
import type { HoldfastConfig } from '../../operations/config.ts';
import type { OidcAuthenticatorOptions } from '../../operations/oidc-settings.ts';
import type { Given } from './options.ts';

export interface DashboardInputs {
  readonly given: Given;
  readonly config: HoldfastConfig;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface DashboardSettings {
  readonly host: string;
  readonly port: number;
  readonly basePath: string;
  /** What goes to createDashboard beside the database. */
  readonly options: Omit<DashboardOptions, 'database' | 'basePath'>;
}

/** Tokens are secrets: they come by the environment or the file, and not by flags, which every user of the machine can read. */
export const TOKENS_VARIABLE = 'HOLDFAST_DASHBOARD_TOKENS';
const KEY_VARIABLE = 'HOLDFAST_DASHBOARD_SESSION_KEY';
const OIDC_SECRET_VARIABLE = 'HOLDFAST_DASHBOARD_OIDC_SECRET';

/** Throws HF_CONFIG or HF_OPTION_UNKNOWN. */
export function resolveDashboard({ given, config, env }: DashboardInputs): DashboardSettings {
  const own = config.dashboard ?? {};
  const host = given.host ?? own.host ?? '127.0.0.1';
  const port = given.port ?? own.port ?? 9465;
  if (!(Number.isInteger(port) && port >= 0 && port <= 65_535))
    throw new HoldfastError('HF_CONFIG', `The port is ${port}.`, { advice: 'Give 0 to 65535.' });
  const fromEnv = (env[TOKENS_VARIABLE] ?? '').split(/[;\s]+/).filter((token) => token !== '');
  const tokens = fromEnv.length > 0 ? fromEnv : (own.tokens ?? []);
  const authenticators: readonly Authenticator[] = [
    ...(tokens.length > 0 ? [tokenAuthenticator(tokens)] : []),
    ...(own.proxy === undefined ? [] : [proxyAuthenticator(own.proxy)]),
    ...(own.oidc === undefined ? [] : [oidcAuthenticator(withSecret(own.oidc, env))]),
  ];
  const open = authenticators.length === 0;
  if (open && !isLoopbackAddress(host) && !isLoopbackName(host)) {
    throw new HoldfastError('HF_CONFIG', `The dashboard would be open to everybody who can reach ${host}.`, {
      advice: `Say who may use it: ${TOKENS_VARIABLE}='ada:operator:TOKEN', or dashboard.tokens, dashboard.proxy or dashboard.oidc in holdfast.config.ts.`,
    });
  }
  const { trustedProxies, hosts, hidePayloads, sessionTime } = own;
  const sessionKey = (env[KEY_VARIABLE] ?? '') === '' ? own.sessionKey : env[KEY_VARIABLE];
  return {
    host,
    port,
    basePath: given.basePath ?? own.basePath ?? '',
    options: {
      authenticators,
      // Whoever can start this has the database's password, and so all rights already.
      ...(open ? { anonymous: 'admin' as const } : {}),
      trustedProxies,
      hosts,
      hidePayloads,
      redact: config.redact,
      alerts: alertsOf(given, config),
      sessionTime,
      sessionKey,
    },
  };
}

/** What daemons of the same configuration watch for and whom they tell. Address and secret of the webhook are theirs alone. */
function alertsOf(given: Given, { alerts }: HoldfastConfig): DashboardOptions['alerts'] {
  if (alerts === false) return undefined;
  const { quiet, repeat, rules, objectives, onAlert, webhook } = alerts ?? {};
  const hasWebhook = (given.alertWebhook ?? webhook?.url) !== undefined;
  if (alerts === undefined && !hasWebhook) return undefined;
  const tells: readonly AlertChannel[] = [
    'log',
    ...(onAlert === undefined ? [] : (['hook'] as const)),
    ...(hasWebhook ? (['webhook'] as const) : []),
  ];
  return { quiet, repeat, rules, objectives, tells };
}

function withSecret(oidc: OidcAuthenticatorOptions, env: DashboardInputs['env']): OidcAuthenticatorOptions {
  const secret = env[OIDC_SECRET_VARIABLE] ?? '';
  return secret === '' ? oidc : { ...oidc, clientSecret: secret };
}
