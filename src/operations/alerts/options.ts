/**
 * The options of alerts, as users write them and as they are settled.
 */
import type { Database } from '../../postgres/database.ts';
import { readSecret } from '../../message/webhook-signature.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import type { Logger } from '../../runtime/log.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import { ALERT_KINDS, type AlertKind, type AlertNotice } from './alert.ts';
import type { AlertThresholds } from './conditions.ts';
import type { AlertPolicy } from './decide.ts';
import { readWebhookUrl, type WebhookTarget } from './webhook.ts';

/** Where alerts are sent by HTTP, signed by the rules of Standard Webhooks. */
export interface AlertWebhook {
  /** https:// or http:// URL. It never stands in a log. */
  readonly url: string;
  /**
   * `whsec_` and 24 to 64 bytes in base64. Several: all of them sign, so that one can be replaced while the receiver still knows the other.
   */
  readonly secret: string | readonly string[];
  /**
   * How long an answer is waited for.
   *
   * @defaultValue '10s'
   */
  readonly timeout?: Duration | undefined;
}

/** When one kind of alert is told. */
export interface AlertRule {
  /** How long it must have been so. */
  readonly for?: Duration | undefined;
  /** Of `late` and `overdue`: beyond which age. */
  readonly over?: Duration | undefined;
}

/** What is watched for, and how it is told: the part of {@link AlertsOptions} that stands in holdfast.config.ts as well. */
export interface AlertSettings {
  /**
   * Told of each alert: at least once, in one of the processes that watch. What it throws is said in the log and changes nothing.
   *
   * @defaultValue nobody
   */
  readonly onAlert?: ((notice: AlertNotice) => void | Promise<void>) | undefined;
  /**
   * Told of each alert at least once, again and again for a day until it answers with 2xx.
   *
   * @defaultValue none
   */
  readonly webhook?: AlertWebhook | undefined;
  /**
   * How often is looked, by one of the processes for all of them.
   *
   * @defaultValue '15s'
   */
  readonly interval?: Duration | undefined;
  /**
   * Least time between two tellings that the same alert fires.
   *
   * @defaultValue '5m'
   */
  readonly quiet?: Duration | undefined;
  /**
   * An alert that goes on is told again after this.
   *
   * @defaultValue '4h'
   */
  readonly repeat?: Duration | undefined;
  /**
   * How long something must be over before it is told as resolved.
   *
   * @defaultValue '1m'
   */
  readonly clear?: Duration | undefined;
  /**
   * Rules that differ from the defaults, by kind; false: this kind is not watched for.
   *
   * @defaultValue those of docs/operations.md
   */
  readonly rules?: { readonly [Kind in AlertKind]?: AlertRule | false | undefined } | undefined;
  /**
   * How old the oldest unpublished message of a subscription may be, by its name.
   *
   * @defaultValue `rules.late.over`, a minute
   */
  readonly objectives?: Readonly<Record<string, Duration>> | undefined;
}

/** Options of {@link createAlerts}. */
export interface AlertsOptions extends AlertSettings {
  readonly database: Database;
  /**
   * How this process is called in alerts about itself.
   *
   * @defaultValue host and process
   */
  readonly name?: string | undefined;
  /**
   * Workers of this process, whose lease and circuit breakers are watched.
   *
   * @defaultValue none
   */
  readonly workers?: readonly WatchedWorker[] | undefined;
  readonly log?: Logger | undefined;
  /** @internal A seam of tests. */
  readonly clock?: Clock | undefined;
  /** @internal A seam of tests. */
  readonly random?: (() => number) | undefined;
  /** @internal A seam of tests. */
  readonly crashPoint?: CrashPoint | undefined;
}

/** What is looked at of a worker of this process: `createWorker` makes one. */
export interface WatchedWorker {
  /** Of its present lease; empty while it has none. */
  readonly id: string;
  /**
   * Circuit breakers of steps that hold its attempts up.
   *
   * @defaultValue none
   */
  readonly openBreakers?: readonly { readonly name: string }[] | undefined;
}

export interface ResolvedAlerts {
  readonly webhook: WebhookTarget | null;
  readonly intervalMs: number;
  readonly policy: AlertPolicy;
  readonly thresholds: AlertThresholds;
  readonly isWatched: (kind: AlertKind) => boolean;
}

/** The keys of AlertSettings. */
export const ALERT_SETTINGS = [
  'onAlert',
  'webhook',
  'interval',
  'quiet',
  'repeat',
  'clear',
  'rules',
  'objectives',
] as const satisfies readonly (keyof AlertSettings)[];

/** `where` names the options in errors. Throws HF_CONFIG, HF_OPTION_UNKNOWN or HF_DURATION. */
export function resolveAlerts(settings: AlertSettings, where: string): ResolvedAlerts {
  const ms = (name: 'interval' | 'quiet' | 'repeat' | 'clear', preset: Duration): number =>
    parseDuration(settings[name] ?? preset, `${where}.${name}`);
  const intervalMs = ms('interval', '15s');
  if (intervalMs < 1_000) throw badOption(`${where}.interval`, `is ${intervalMs} ms`, 'Give at least a second.');
  const quietMs = ms('quiet', '5m');
  const repeatMs = ms('repeat', '4h');
  if (repeatMs < quietMs) throw badOption(`${where}.repeat`, 'is shorter than quiet', 'Give at least as long.');
  if (settings.onAlert !== undefined && typeof settings.onAlert !== 'function')
    throw badOption(`${where}.onAlert`, 'is no function', 'Give (notice) => { … }.');
  const rules = readRules(settings, where);
  const objectives = new Map(
    Object.entries(settings.objectives ?? {}).map(([name, over]) => [
      name,
      parseDuration(over, `${where}.objectives.${name}`),
    ]),
  );
  const overMs = (kind: AlertKind): number => rules.get(kind)?.overMs ?? ALERT_KINDS[kind].overMs ?? 0;
  return {
    webhook: settings.webhook === undefined ? null : readWebhook(settings.webhook, `${where}.webhook`),
    intervalMs,
    policy: {
      quietMs,
      repeatMs,
      clearMs: ms('clear', '1m'),
      forMs: (kind) => rules.get(kind)?.forMs ?? ALERT_KINDS[kind].forMs,
    },
    thresholds: { lateMs: (name) => objectives.get(name) ?? overMs('late'), overdueMs: overMs('overdue') },
    isWatched: (kind) => rules.get(kind) !== null,
  };
}

interface Rule {
  readonly forMs: number | undefined;
  readonly overMs: number | undefined;
}

/** Null: not watched for. */
function readRules({ rules = {} }: AlertSettings, where: string): ReadonlyMap<AlertKind, Rule | null> {
  refuseUnknownOptions(rules, Object.keys(ALERT_KINDS), `${where}.rules`);
  const found = new Map<AlertKind, Rule | null>();
  for (const [name, rule] of Object.entries(rules)) {
    const kind = name as AlertKind;
    if (rule === undefined) continue;
    if (rule === false) {
      found.set(kind, null);
      continue;
    }
    const about = `${where}.rules.${kind}`;
    if (typeof rule !== 'object' || rule === null)
      throw badOption(about, `is ${String(rule)}`, "Give { for: '5m' }, or false.");
    refuseUnknownOptions(rule, ALERT_KINDS[kind].overMs === undefined ? ['for'] : ['for', 'over'], about);
    found.set(kind, {
      forMs: rule.for === undefined ? undefined : parseDuration(rule.for, `${about}.for`),
      overMs: rule.over === undefined ? undefined : parseDuration(rule.over, `${about}.over`),
    });
  }
  return found;
}

function readWebhook(webhook: AlertWebhook, where: string): WebhookTarget {
  refuseUnknownOptions(webhook, ['url', 'secret', 'timeout'], where);
  const secrets = [webhook.secret].flat().filter((secret) => typeof secret === 'string');
  if (secrets.length === 0)
    throw badOption(where, 'has no secret', 'Give one, made by: echo whsec_$(openssl rand -base64 32).');
  const timeoutMs = parseDuration(webhook.timeout ?? '10s', `${where}.timeout`);
  if (timeoutMs < 100 || timeoutMs > 60_000)
    throw badOption(`${where}.timeout`, `is ${timeoutMs} ms`, 'Give 100 ms to a minute.');
  return {
    url: readWebhookUrl(webhook.url, `${where}.url`),
    keys: secrets.map((secret) => readSecret(secret, `${where}.secret`)),
    timeoutMs,
  };
}
