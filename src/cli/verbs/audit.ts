/**
 * `holdfast audit`: what people did, newest first.
 */
import { listAudit, type AuditedAct } from '../../operations/reads/audit.ts';
import { formatTime, oneLine } from '../output/format.ts';
import type { Ui, VerbReport } from '../output/report.ts';
import { formatTable } from '../output/table.ts';
import { numberFlag, textFlag, timeFlag, withDatabase, type Context } from '../verb.ts';

export async function audit(context: Context): Promise<VerbReport> {
  const limit = numberFlag(context, 'limit', '--limit') ?? 20;
  const filter = {
    actor: textFlag(context, 'actor'),
    action: textFlag(context, 'action'),
    subject: textFlag(context, 'subject'),
    job: textFlag(context, 'job'),
    since: timeFlag(context, 'since', '--since'),
    before: textFlag(context, 'before'),
    limit,
  };
  const acts = await withDatabase(context, (database) => listAudit(database, filter));
  const more = acts.length === limit;
  return {
    json: { acts, more },
    text: (ui) => (acts.length === 0 ? 'Nobody has done anything that fits.' : formatActs(acts, more, ui)),
  };
}

function formatActs(acts: readonly AuditedAct[], more: boolean, ui: Ui): string {
  const { style } = ui;
  const table = formatTable(
    acts,
    [
      { title: 'WHEN', value: ({ at }) => formatTime(at) },
      { title: 'WHO', value: ({ actor }) => oneLine(actor, 60), shrink: 8 },
      { title: 'WHAT', value: ({ action }) => action, paint: style.bold },
      { title: 'TO WHAT', value: ({ subject }) => oneLine(subject, 100), shrink: 12 },
      { title: 'WHY', value: ({ reason }) => (reason === null ? '-' : oneLine(reason, 100)), shrink: 10 },
    ],
    ui,
  );
  return more ? `${table}\n${style.dim(`Older ones: the same with --before ${acts.at(-1)?.id}`)}` : table;
}
