/**
 * `holdfast parked edit`: a parked message with another payload. Shows the difference; makes it when --yes is said.
 */
import { HoldfastError } from '../../errors.ts';
import type { PayloadRevision } from '../../operations/parked/payload-revision.ts';
import { previewRevision, reviseParked } from '../../operations/parked/revise.ts';
import { diffJson } from '../../runtime/json-diff.ts';
import { jsonFlag } from '../json-flag.ts';
import { formatDiff } from '../output/diff.ts';
import type { Ui, VerbReport } from '../output/report.ts';
import { actorOf, redactorOf, textFlag, withDatabase, type Context } from '../verb.ts';

export async function parkedEdit(context: Context, [id = '']: readonly string[]): Promise<VerbReport> {
  const revision = revisionOf(context);
  const selection = { id, subscription: textFlag(context, 'subscription'), consumer: textFlag(context, 'consumer') };
  return withDatabase(context, async (database) => {
    const redact = redactorOf(context);
    const found = await previewRevision(database, selection, revision);
    const preview = { ...found, before: redact(found.before), after: redact(found.after) };
    const lines = diffJson(preview.before, preview.after);
    if (context.flags['yes'] !== true) {
      return {
        json: { dryRun: true, ...preview },
        text: ({ style }) =>
          [
            `${preview.topic} ${id}, parked by ${preview.kind} ${preview.where}:`,
            formatDiff(lines, style),
            ...doubtOf(preview, style),
            "Nothing was done: add --yes and --reason '…'.",
          ].join('\n'),
      };
    }
    const act = { actor: actorOf(context), reason: textFlag(context, 'reason') ?? '' };
    const revised = await reviseParked(database, selection, revision, act);
    return {
      json: { revised },
      text: ({ style }) =>
        [
          formatDiff(lines, style),
          ...doubtOf(revised, style),
          ...(revised.kind === 'consumer'
            ? [
                `${style.green('Edited:')} ${revised.topic} ${id} is now ${style.bold(revised.id)}, in its place, and due.`,
                'The consumer takes it up within a second or so, each key in order.',
              ]
            : [
                `${style.green('Edited:')} ${revised.topic} ${id} goes out with the new payload, in its place, and is due.`,
                'The relay takes it up within a second or so, each key in order. The log keeps it as it was written.',
              ]),
        ].join('\n'),
    };
  });
}

function doubtOf({ inDoubt }: { readonly inDoubt: boolean }, style: Ui['style']): readonly string[] {
  if (!inDoubt) return [];
  return [
    `${style.yellow('It may have gone out as it was:')} a relay was lost while it published it. Where it has arrived, that stands.`,
  ];
}

/** Throws HF_CONFIG when neither or both are given. */
function revisionOf(context: Context): PayloadRevision {
  const file = textFlag(context, 'payloadFile');
  const payload = file === undefined ? jsonFlag(context, 'payload', '--payload') : fromFile(context, file);
  const patch = jsonFlag(context, 'patch', '--patch');
  if ((payload === undefined) === (patch === undefined)) {
    throw new HoldfastError('HF_CONFIG', 'A payload or a patch is needed, and not both.', {
      advice: "Give --payload-file FILE, --payload '{…}', or --patch '{…}' with what is different.",
    });
  }
  return payload === undefined ? { patch } : { payload };
}

function fromFile(context: Context, file: string): unknown {
  const flags = { ...context.flags, payloadFile: file === '-' ? file : `@${file}` };
  return jsonFlag({ ...context, flags }, 'payloadFile', '--payload-file');
}
