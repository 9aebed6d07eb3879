/**
 * Flags over environment over configuration file: what a daemon watches for, and whom it tells. The secrets of the webhook have no flag,
 * since every user of a machine can read the flags of its processes.
 */
import { HoldfastError } from '../../errors.ts';
import { resolveAlerts, type AlertSettings } from '../../operations/alerts/options.ts';
import type { HoldfastConfig } from '../../operations/config.ts';
import type { Given } from './options.ts';

export const ALERT_SECRET = 'HOLDFAST_ALERT_WEBHOOK_SECRET';

export interface AlertInputs {
  readonly given: Given;
  readonly config: HoldfastConfig;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Null: nothing asks for alerts. Throws HF_CONFIG, HF_OPTION_UNKNOWN or HF_DURATION. */
export function resolveAlertSettings({ given, config, env }: AlertInputs): AlertSettings | null {
  const own = config.alerts;
  if (own === false) return null;
  const url = given.alertWebhook ?? own?.webhook?.url;
  const secrets = (env[ALERT_SECRET] ?? '').split(/\s+/).filter((secret) => secret !== '');
  if (own === undefined && url === undefined) return null;
  const secret = secrets.length > 0 ? secrets : own?.webhook?.secret;
  if (url !== undefined && secret === undefined) {
    throw new HoldfastError('HF_CONFIG', 'The webhook of alerts has no secret, so its receiver could not know us.', {
      advice: `Give ${ALERT_SECRET} in the environment; one is made by: echo whsec_$(openssl rand -base64 32).`,
    });
  }
  const settings: AlertSettings = {
    ...own,
    ...(url === undefined || secret === undefined ? {} : { webhook: { ...own?.webhook, url, secret } }),
  };
  resolveAlerts(settings, 'alerts');
  return settings;
}
