/**
 * `holdfast alerts`: what is alerting now, and whether anybody watches; `--test` sends a test and shows the answer.
 */
import { createAlerts, type AlertTest } from '../../operations/alerts/alerts.ts';
import { listAlerts, type AlertsNow, type AlertSummary } from '../../operations/alerts/list-alerts.ts';
import { resolveAlertSettings } from '../config/resolve-alerts.ts';
import { EXIT } from '../exit-codes.ts';
import { formatMs, oneLine, plural } from '../output/format.ts';
import type { Ui, VerbReport } from '../output/report.ts';
import { IN_SECTIONS, overDatabases } from '../over.ts';
import { withDatabase, type Context } from '../verb.ts';

export async function runAlerts(context: Context): Promise<VerbReport> {
  const settings = resolveAlertSettings({ ...context, env: process.env });
  if (context.flags['test'] === true) {
    const tested = await withDatabase(context, (database) => createAlerts({ ...settings, database }).test());
    return {
      json: { hook: settings?.onAlert !== undefined, ...tested },
      exitCode: tested.webhook === null || tested.webhook.ok ? EXIT.ok : EXIT.findings,
      text: (ui) => formatTest(tested, settings?.onAlert !== undefined, ui),
    };
  }
  return overDatabases(
    context,
    async (database): Promise<VerbReport> => {
      const found = await listAlerts(database, settings ?? {});
      return { json: found, text: (ui) => formatAlerts(found, ui) };
    },
    IN_SECTIONS,
  );
}

export function formatAlerts({ alerts, watched }: AlertsNow, { style }: Ui): string {
  const mark = {
    firing: style.red('firing  '),
    new: style.red('new     '),
    pending: style.yellow('pending '),
    clearing: style.green('clearing'),
  };
  const lines = alerts.map(
    (each) =>
      `${mark[each.state]}  ${oneLine(each.summary)} ${style.dim(`[${each.kind}${historyOf(each)}]`)}\n          ${style.dim('→')} ${oneLine(each.advice)}`,
  );
  const head = alerts.length === 0 ? [`${style.green('Nothing is wrong')} that alerts are there for.`] : lines;
  return [...head, '', watchLine(watched, style)].join('\n');
}

function historyOf({ ageMs, toldAgoMs, failedAttempts }: AlertSummary): string {
  return [
    ...(ageMs === null ? [] : [`for ${formatMs(ageMs)}`]),
    ...(toldAgoMs === null ? [] : [`told ${formatMs(toldAgoMs)} ago`]),
    ...(failedAttempts === null || failedAttempts === 0
      ? []
      : [`the webhook refused it ${plural(failedAttempts, 'time')}`]),
  ]
    .map((part) => `, ${part}`)
    .join('');
}

/** A look is due every quarter of a minute by default; this long without one means that nobody watches. */
const UNWATCHED_MS = 15 * 60_000;

function watchLine(watched: AlertsNow['watched'], style: Ui['style']): string {
  const asleep = watched.filter(({ lookedAgoMs }) => lookedAgoMs === null || lookedAgoMs > UNWATCHED_MS);
  if (asleep.length === watched.length)
    return style.yellow('Nobody watches, so nobody is told: add alerts to holdfast.config.ts (docs/operations.md).');
  return style.dim(
    `Watched: ${watched
      .map(({ area, lookedAgoMs, watcher }) =>
        lookedAgoMs === null ? `${area} never` : `${area} ${formatMs(lookedAgoMs)} ago by ${oneLine(watcher ?? '?')}`,
      )
      .join(', ')}.`,
  );
}

function formatTest({ id, webhook }: AlertTest, hook: boolean, { style }: Ui): string {
  const lines = hook ? ['The hook of the configuration was called.'] : [];
  if (webhook === null) return [...lines, 'No webhook is configured: the log alone would be told.'].join('\n');
  const { ok, status, trouble, body } = webhook;
  return [
    ...lines,
    ok
      ? `${style.green('The webhook took it')}, with ${String(status)}.`
      : `${style.red('The webhook did not take it')}: ${trouble ?? ''}.`,
    ...(body === '' ? [] : [style.dim(oneLine(body))]),
    style.dim(`webhook-id ${id}`),
  ].join('\n');
}
