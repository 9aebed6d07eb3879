/**
 * What is alerting, out of what the overview has read anyway: beside that it takes a look at two small tables. So open pages add nothing.
 */
import { isHoldfastError } from '../../errors.ts';
import { consumerConditions, relayConditions, sagaConditions } from '../../operations/alerts/conditions.ts';
import { alertsAmong } from '../../operations/alerts/list-alerts.ts';
import { resolveAlerts, type AlertSettings, type ResolvedAlerts } from '../../operations/alerts/options.ts';
import type { RelayStatus } from '../../operations/relay/relay-status.ts';
import type { SagaStatus } from '../../operations/sagas/saga-status.ts';
import type { Database } from '../../postgres/database.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import type { AlertChannel, AlertsView, Overview } from './contract.ts';

/** What the processes that watch for alerts were given, as far as it is of interest to who looks. */
export interface DashboardAlerts extends Pick<AlertSettings, 'quiet' | 'repeat' | 'rules' | 'objectives'> {
  /**
   * Whom they tell: `['log', 'webhook']`.
   *
   * @defaultValue it is not said
   */
  readonly tells?: readonly AlertChannel[] | undefined;
}

export interface SettledAlerts {
  readonly tells: readonly AlertChannel[] | null;
  readonly quietMs: number;
  readonly settings: ResolvedAlerts;
}

const CHANNELS: readonly AlertChannel[] = ['log', 'hook', 'webhook'];

/** `where` names the options in errors. Throws HF_CONFIG, HF_OPTION_UNKNOWN or HF_DURATION. */
export function settleAlerts(given: DashboardAlerts, where: string): SettledAlerts {
  refuseUnknownOptions(given, ['quiet', 'repeat', 'rules', 'objectives', 'tells'], where);
  const { tells, ...rest } = given;
  if (tells !== undefined && !(Array.isArray(tells) && tells.every((each: AlertChannel) => CHANNELS.includes(each))))
    throw badOption(`${where}.tells`, `is ${JSON.stringify(tells)}`, `Give some of ${CHANNELS.join(', ')} in a list.`);
  const settings = resolveAlerts(rest, where);
  return { tells: tells ?? null, quietMs: settings.policy.quietMs, settings };
}

/** What has been read already. `sagas`: null for a role that may not read them. */
export interface ReadStatus {
  readonly relay: RelayStatus;
  readonly sagas: SagaStatus | null;
}

/** Null for a role that may not read alerts, and in a schema that has none yet. */
export async function readAlertsView(
  database: Database,
  { relay, sagas }: ReadStatus,
  { settings, quietMs, tells }: SettledAlerts,
): Promise<AlertsView | null> {
  const { thresholds, isWatched } = settings;
  const found = [
    { area: 'relay' as const, conditions: relayConditions(relay.subscriptions, thresholds) },
    { area: 'consumers' as const, conditions: consumerConditions(relay.consumers) },
    { area: 'sagas' as const, conditions: sagas === null ? null : sagaConditions(sagas, thresholds) },
  ];
  try {
    const { alerts, watched } = await alertsAmong(database, found, isWatched);
    const items = alerts.map((each) => ({ ...each, quietForMs: quietFor(each.toldAgoMs, quietMs) }));
    return { items, watched, tells };
  } catch (error) {
    if (isHoldfastError(error, 'HF_PERMISSION') || isHoldfastError(error, 'HF_SCHEMA_MISSING')) return null;
    throw error;
  }
}

function quietFor(toldAgoMs: number | null, quietMs: number): number | null {
  return toldAgoMs === null || toldAgoMs >= quietMs ? null : quietMs - toldAgoMs;
}

/** How old the oldest message of each subscription may be. Pure. */
export function objectivesOf({ subscriptions }: RelayStatus, { settings }: SettledAlerts): Overview['objectives'] {
  const names = [...new Set(subscriptions.map(({ name }) => name))];
  return names.map((subscription) => ({ subscription, objectiveMs: settings.thresholds.lateMs(subscription) }));
}
