/**
 * `holdfast saga restart`: a run that has ended, once more.
 */
import { HoldfastError } from '../../errors.ts';
import { findRunId } from '../../operations/sagas/find-run.ts';
import { restartRun } from '../../operations/sagas/restart-run.ts';
import { loadSagas } from '../config/load-sagas.ts';
import { sagasPathOf } from '../config/sagas-path.ts';
import { jsonFlag } from '../json-flag.ts';
import type { VerbReport } from '../output/report.ts';
import { actorOf, textFlag, withDatabase, type Context } from '../verb.ts';

export async function sagaRestart(context: Context, [name = '']: readonly string[]): Promise<VerbReport> {
  const input = jsonFlag(context, 'input', '--input');
  const version = versionFlag(context);
  const path = sagasPathOf(context.given, context.config);
  const sagas = path === undefined ? [] : await loadSagas(path, process.cwd());
  const act = { actor: actorOf(context), reason: textFlag(context, 'reason') ?? '' };
  const restarted = await withDatabase(context, async (database) => {
    const id = await findRunId(database, name, textFlag(context, 'saga'));
    return restartRun(database, id, { version, input, sagas }, act);
  });
  const { id, of, saga, version: started, key, runnable } = restarted;
  return {
    json: { restarted },
    text: ({ style }) =>
      [
        `${style.green('Started')} ${saga}@${started} ${style.bold(id)} in place of ${of}.`,
        ...(key === null ? [] : [`It has the key ${key} now.`]),
        ...(runnable ? [] : [style.yellow(`No live worker runs ${saga}@${started}: it waits for one.`)]),
        style.dim(`A worker takes it up: holdfast saga show ${id}`),
      ].join('\n'),
  };
}

function versionFlag(context: Context): number | 'newest' | undefined {
  const given = textFlag(context, 'sagaVersion');
  if (given === undefined || given === 'newest') return given;
  if (/^[1-9]\d{0,8}$/.test(given)) return Number(given);
  throw new HoldfastError('HF_CONFIG', `--saga-version is ${JSON.stringify(given)}.`, {
    advice: "Give a whole number from 1 on, or 'newest'.",
  });
}
