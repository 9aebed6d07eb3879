/**
 * `holdfast parked groups`: parked messages by what they have in common; and how many of them are meant by flags.
 */
import { HoldfastError } from '../../errors.ts';
import { parkedErrorText } from '../../message/encrypted-value.ts';
import { parkedGroups, type ParkedGroup } from '../../operations/parked/parked-groups.ts';
import type { ParkedCriteria } from '../../operations/parked/parked-rows.ts';
import type { Duration } from '../../runtime/duration.ts';
import { formatCount, formatMs, plural } from '../output/format.ts';
import type { Ui, VerbReport } from '../output/report.ts';
import { formatTable } from '../output/table.ts';
import { numberFlag, textFlag, timeFlag, withDatabase, type Context } from '../verb.ts';

export function criteriaOf(context: Context): ParkedCriteria {
  const given: ParkedCriteria = {
    subscription: textFlag(context, 'subscription'),
    consumer: textFlag(context, 'consumer'),
    topic: textFlag(context, 'topic'),
    key: textFlag(context, 'key'),
    group: textFlag(context, 'group'),
    dead: context.flags['dead'] === true ? true : undefined,
    since: timeFlag(context, 'since', '--since'),
    until: timeFlag(context, 'until', '--until'),
  };
  // As it will stand in the audit.
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** Flags that only an act on many has; --key and --all of the act on few mean many beside one of them. */
const MANY = ['group', 'topic', 'dead', 'since', 'until', 'dryRun', 'rate', 'expect', 'yes'] as const;

/** Whether many are meant and not one message or one key. Throws HF_CONFIG when both are. */
export function wantsMany(context: Context, id: string | undefined): boolean {
  const many = MANY.some((flag) => context.flags[flag] !== undefined && context.flags[flag] !== false);
  if (!many) return false;
  if (id !== undefined) {
    throw new HoldfastError('HF_CONFIG', 'Both a message and what many have in common are given.', {
      advice: 'Give the id of a message alone, or --group, --topic and the like.',
    });
  }
  const criteria = criteriaOf(context);
  if (Object.keys(criteria).length === 0 && context.flags['all'] !== true) throw nothingChosen();
  return true;
}

export function nothingChosen(): HoldfastError {
  return new HoldfastError('HF_CONFIG', 'Nothing says which messages are meant.', {
    advice: 'Give the id of a message, or --group, --topic, --key, --subscription or --consumer, or --all.',
  });
}

export async function parkedGroupsLs(context: Context): Promise<VerbReport> {
  const bucket = textFlag(context, 'bucket') as Duration | undefined;
  const limit = numberFlag(context, 'limit', '--limit');
  const filter = { ...criteriaOf(context), bucket, limit };
  const found = await withDatabase(context, (database) => parkedGroups(database, filter));
  return {
    json: found,
    text: (ui) => {
      const { groups, messages, total, bucketMs } = found;
      if (messages === 0) return 'No parked message that failed fits.';
      const [first] = groups;
      return [
        formatGroups({ parked: groups }, ui),
        '',
        ui.style.dim(
          `${plural(messages, 'message')} in ${plural(total, 'group')}${total > groups.length ? `, of which the largest ${groups.length} are shown` : ''}. RECENT: the last 24 times ${formatMs(bucketMs)}, the newest on the right.`,
        ),
        ui.style.dim(`Then: holdfast parked show ${first?.example ?? 'ID'} · retry --group ${first?.id ?? 'GROUP'}`),
      ].join('\n');
    },
  };
}

export function formatGroups({ parked }: { readonly parked: readonly ParkedGroup[] }, ui: Ui): string {
  const { style } = ui;
  const now = Date.now();
  return formatTable(
    parked,
    [
      { title: 'COUNT', value: ({ messages }) => formatCount(messages), align: 'right', paint: style.bold },
      { title: 'DEAD', value: ({ dead }) => formatCount(dead), align: 'right', optional: true },
      {
        title: 'LAST',
        value: ({ lastAt }) => `${formatMs(now - lastAt.getTime())} ago`,
        align: 'right',
        optional: true,
      },
      { title: 'RECENT', value: ({ recent }) => sparkline(recent), optional: true },
      { title: 'GROUP', value: ({ id }) => id, paint: style.cyan },
      {
        title: 'ERROR',
        value: ({ error, reason }) => parkedErrorText(error ?? reason).replace(/^HoldfastError: /, ''),
        shrink: 20,
      },
    ],
    ui,
  );
}

/** '▁▁▃█': each count against the largest; a blank for none. Pure. */
export function sparkline(counts: readonly number[]): string {
  const most = Math.max(1, ...counts);
  return counts.map((count) => (count === 0 ? ' ' : '▁▂▃▄▅▆▇█'.charAt(Math.ceil((count / most) * 8) - 1))).join('');
}
