/**
 * `holdfast subscription ls | drop`.
 */
import { dropSubscription } from '../../operations/parked/interventions.ts';
import { relayStatus } from '../../operations/relay/relay-status.ts';
import { formatCount, plural } from '../output/format.ts';
import type { VerbReport } from '../output/report.ts';
import { actorOf, textFlag, withDatabase, type Context } from '../verb.ts';
import { formatStatus } from './status.ts';

export async function subscriptionLs(context: Context): Promise<VerbReport> {
  const found = await withDatabase(context, (database) => relayStatus(database));
  const only = { ...found, consumers: [], replays: [] };
  return { json: { subscriptions: found.subscriptions }, text: (ui) => formatStatus(only, ui) };
}

export async function subscriptionDrop(context: Context, [name = '']: readonly string[]): Promise<VerbReport> {
  const act = {
    actor: actorOf(context),
    reason: textFlag(context, 'reason') ?? '',
    discardParked: context.flags['discardParked'] === true,
  };
  const dropped = await withDatabase(context, (database) => dropSubscription(database, name, act));
  return {
    json: { dropped },
    text: ({ style }) =>
      [
        `${style.green('Dropped:')} ${dropped.name}, which had read up to seq ${formatCount(dropped.high)} and published ${plural(dropped.published, 'message')}.`,
        ...(dropped.parked > 0 ? [`Given up with it: ${plural(dropped.parked, 'parked message')}.`] : []),
        'The log is no longer kept for it. A relay that is started with it begins anew.',
      ].join('\n'),
  };
}
