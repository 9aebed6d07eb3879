/**
 * `holdfast adopt`: all goes on here, after a restore or a move.
 */
import { adopt } from '../../operations/doctor/environment.ts';
import { plural } from '../output/format.ts';
import type { VerbReport } from '../output/report.ts';
import { actorOf, textFlag, withDatabase, type Context } from '../verb.ts';

export async function runAdopt(context: Context): Promise<VerbReport> {
  const act = { actor: actorOf(context), reason: textFlag(context, 'reason') ?? '' };
  const adopted = await withDatabase(context, (database) => adopt(database, act));
  const { name, before, pending } = adopted;
  const was = before === null ? '' : `, which were those of '${before}'`;
  return {
    json: { adopted },
    text: ({ style }) =>
      [
        `${style.green('Adopted:')} the tables${was} are those of ${name === null ? 'this cluster and database' : `'${name}'`} now.`,
        `Relays and workers that start go on with what is pending: at most ${plural(pending.messages, 'message')} to be published, ` +
          `${plural(pending.scheduled, 'scheduled message')}, ${plural(pending.parked, 'parked message')}, ${plural(pending.runs, 'unfinished run')}.`,
      ].join('\n'),
  };
}
