/**
 * `holdfast saga start | signal | cancel | retry | skip | resolve`: what people do to runs.
 */
import { HoldfastError } from '../../errors.ts';
import {
  cancelRun,
  resolveCall,
  retryRun,
  SETTLEMENTS,
  signalRun,
  skipCall,
  type Accepted,
  type Settlement,
} from '../../operations/sagas/saga-interventions.ts';
import { findRunId } from '../../operations/sagas/find-run.ts';
import { showRun } from '../../operations/sagas/sagas.ts';
import type { Database } from '../../postgres/database.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { createSagas } from '../../saga/client/client.ts';
import { createRegistry, type AnySaga } from '../../saga/definition/definition.ts';
import { loadSagas } from '../config/load-sagas.ts';
import { sagasPathOf } from '../config/sagas-path.ts';
import type { VerbReport } from '../output/report.ts';
import { actOnAll, wantsAll } from './saga-bulk.ts';
import { jsonFlag } from '../json-flag.ts';
import { actorOf, textFlag, withDatabase, type Context } from '../verb.ts';

export async function sagaStart(context: Context, [name = '']: readonly string[]): Promise<VerbReport> {
  const path = sagasPathOf(context.given, context.config);
  if (path === undefined) {
    throw new HoldfastError('HF_CONFIG', 'Nothing says where the sagas are.', {
      advice: 'Give --sagas, HOLDFAST_SAGAS, or sagas in holdfast.config.ts.',
    });
  }
  const sagas = await loadSagas(path, process.cwd());
  const chosen = chooseSaga(sagas, name);
  const input = jsonFlag(context, 'input', '--input');
  const deadline = durationFlag(context, 'deadline', '--deadline');
  const key = textFlag(context, 'key');
  const { id, created } = await withDatabase(context, (database) =>
    createSagas({ database, sagas }).start(chosen, input as never, {
      ...(key === undefined ? {} : { key }),
      ...(deadline === undefined ? {} : { deadline }),
    }),
  );
  return {
    json: { id, created, saga: chosen.name, version: chosen.version },
    text: ({ style }) =>
      created
        ? `${style.green('Started')} ${chosen.name}@${chosen.version} ${style.bold(id)}.\n${style.dim(`A worker takes it up: holdfast saga show ${id}`)}`
        : `${style.yellow('There already:')} ${style.bold(id)} has that key; nothing was started.`,
  };
}

/** `place-order` is its newest version, `place-order@1` that one. */
function chooseSaga(sagas: readonly AnySaga[], name: string): AnySaga {
  const registry = createRegistry(sagas, '--sagas');
  const [, base = name, version] = /^(.*)@(\d+)$/.exec(name) ?? [];
  const newest = registry.newest(base);
  if (version === undefined) return newest;
  const found = registry.find(base, Number(version));
  if (found !== undefined) return found;
  throw new HoldfastError('HF_SAGA_UNKNOWN', `There is no version ${version} of ${base}.`, {
    advice: `The newest is ${newest.version}.`,
  });
}

export async function sagaSignal(context: Context, [run = '', name = '']: readonly string[]): Promise<VerbReport> {
  const payload = jsonFlag(context, 'payload', '--payload');
  const path = sagasPathOf(context.given, context.config);
  const sagas = path === undefined ? [] : await loadSagas(path, process.cwd());
  const accepted = await onRun(context, run, async (database, id) => {
    const found = (await showRun(database, id)).run;
    const saga = sagas.find((each) => each.name === found.saga && each.version === found.version);
    return signalRun(database, id, { name, payload, id: textFlag(context, 'id'), saga }, actOf(context));
  });
  return toReport(accepted, `Sent: the signal ${name} to ${accepted.id}.`);
}

export async function sagaCancel(context: Context, [name]: readonly string[]): Promise<VerbReport> {
  if (wantsAll(context, name)) return actOnAll(context, { kind: 'cancel' });
  const accepted = await onRun(context, name, (database, id) => cancelRun(database, id, actOf(context)));
  return toReport(
    accepted,
    accepted.undecided === true
      ? `Sent: ${accepted.id} is compensated unless its pivot, which is under way, is done first.`
      : `Cancelled: ${accepted.id} will be compensated.`,
  );
}

export async function sagaRetry(context: Context, [name]: readonly string[]): Promise<VerbReport> {
  if (wantsAll(context, name)) return actOnAll(context, { kind: 'retry' });
  const accepted = await onRun(context, name, (database, id) => retryRun(database, id, actOf(context)));
  return toReport(accepted, `To be tried again: ${accepted.id}.`);
}

export async function sagaSkip(context: Context, [name, call]: readonly string[]): Promise<VerbReport> {
  if (wantsAll(context, name)) return actOnAll(context, { kind: 'skip' });
  const accepted = await onRun(context, name, (database, id) =>
    skipCall(database, id, call ?? null, reasonedActOf(context)),
  );
  const what = call === undefined ? 'what it was stuck at' : call;
  return toReport(accepted, `Skipped: ${what}, of ${accepted.id}, is not compensated.`);
}

export async function sagaResolve(context: Context, [name, call]: readonly string[]): Promise<VerbReport> {
  const as = settlementOf(context);
  const output = jsonFlag(context, 'output', '--output');
  const resolution = { call: call ?? null, as, output };
  if (wantsAll(context, name)) return actOnAll(context, { kind: 'resolve', resolution });
  const accepted = await onRun(context, name, (database, id) =>
    resolveCall(database, id, resolution, reasonedActOf(context)),
  );
  return toReport(
    accepted,
    `Resolved: ${call === undefined ? 'what it was stuck at' : call}, of ${accepted.id}, is ${as}.`,
  );
}

function toReport(accepted: Accepted, what: string): VerbReport {
  return {
    json: { accepted },
    text: ({ style }) => {
      const [head = '', ...rest] = what.split(':');
      return `${style.green(`${head}:`)}${rest.join(':')}\n${style.dim(`A worker carries it out: holdfast saga show ${accepted.id}`)}`;
    },
  };
}

/** Acts on the run that an id or a key names. */
async function onRun(
  context: Context,
  name: string | undefined,
  act: (database: Database, id: string) => Promise<Accepted>,
): Promise<Accepted> {
  return withDatabase(context, async (database) =>
    act(database, await findRunId(database, name ?? '', textFlag(context, 'saga'))),
  );
}

function actOf(context: Context): { readonly actor: string; readonly reason: string | undefined } {
  return { actor: actorOf(context), reason: textFlag(context, 'reason') };
}

function reasonedActOf(context: Context): { readonly actor: string; readonly reason: string } {
  return { actor: actorOf(context), reason: textFlag(context, 'reason') ?? '' };
}

/** 'not-done' as well, which a shell takes without quotes. */
function settlementOf(context: Context): Settlement {
  const given = textFlag(context, 'as')?.replace('-', ' ');
  const found = SETTLEMENTS.find((each) => each === given);
  if (found !== undefined) return found;
  throw new HoldfastError('HF_CONFIG', `--as is ${JSON.stringify(textFlag(context, 'as'))}.`, {
    advice: 'Give done, not-done or compensated.',
  });
}

function durationFlag(context: Context, name: string, flag: string): Duration | undefined {
  const given = textFlag(context, name);
  if (given === undefined) return undefined;
  return parseDuration((/^\d+$/.test(given) ? Number(given) : given) as Duration, flag);
}
