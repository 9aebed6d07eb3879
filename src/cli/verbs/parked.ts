/**
 * `holdfast parked ls | show | retry | discard`: messages taken out of the flow, and what to do about them.
 */
import { HoldfastError } from '../../errors.ts';
import { parkedErrorText } from '../../message/encrypted-value.ts';
import { discardParked, retryParked } from '../../operations/parked/interventions.ts';
import { showParked, type ParkedDetails, type ParkedSummary } from '../../operations/parked/parked.ts';
import type { ParkedState } from '../../operations/parked/parked-rows.ts';
import { searchParked, type ParkedPage, type ParkedSearch } from '../../operations/parked/search-parked.ts';
import { redactParked } from '../../operations/redaction/redact-message.ts';
import { formatMs, formatTime, plural } from '../output/format.ts';
import { formatLooked, LOOK_FOR } from '../output/looked.ts';
import type { VerbReport, Ui } from '../output/report.ts';
import { formatFacts, formatTable, type Column } from '../output/table.ts';
import { databaseColumn, inDatabase, inWhichever, ofValues, overDatabases, type Said } from '../over.ts';
import { actorOf, databaseOf, numberFlag, redactorOf, textFlag, withDatabase, type Context } from '../verb.ts';
import { actOnMany } from './job.ts';
import { indent } from './outbox.ts';
import { criteriaOf, formatGroups, nothingChosen, wantsMany } from './parked-groups.ts';

export async function parkedLs(context: Context): Promise<VerbReport> {
  const limit = numberFlag(context, 'limit', '--limit') ?? 50;
  const { kind, where } = placeOf(context);
  const filter: ParkedSearch = {
    kind,
    where,
    topic: textFlag(context, 'topic'),
    key: textFlag(context, 'key'),
    state: stateOf(context),
    group: textFlag(context, 'group'),
    limit,
    cursor: textFlag(context, 'cursor'),
    lookFor: LOOK_FOR,
  };
  const filtered = [where, filter.topic, filter.key, filter.state, filter.group].some((part) => part !== undefined);
  // A place in one list is none in another.
  if (filter.cursor !== undefined) databaseOf(context);
  return overDatabases(context, (database) => searchParked(database, filter), {
    json: ({ parked, next, looked }) => ({ parked, more: next !== null, next, looked }),
    text: (said, ui) => formatParkedList(said, filtered, ui),
  });
}

export function formatParkedList(said: readonly Said<ParkedPage>[], filtered: boolean, ui: Ui): string {
  const { style } = ui;
  const parked = said.flatMap(({ database, value }) => value.parked.map((each) => ({ database, value: each })));
  const further = said.flatMap(furtherHints);
  if (parked.length === 0) {
    if (further.length > 0) return `No parked message fits so far.\n${style.dim(further.join('\n'))}`;
    if (filtered) return 'No parked message fits.';
    return `${style.green('Nothing is parked:')} every message was published or is on its way, and no consumer of this database has given one up.`;
  }
  const paint = { failed: style.yellow, behind: style.dim, dead: style.red };
  const columns: readonly Column<ParkedSummary>[] = [
    { title: 'STATE', value: ({ state }) => state, paint: (cell, { state }) => paint[state](cell) },
    { title: 'WHERE', value: ({ kind, where }) => `${kind} ${where}`, shrink: 8 },
    { title: 'ID', value: ({ id }) => id, paint: style.dim },
    { title: 'TOPIC', value: ({ topic }) => topic, shrink: 8, paint: style.cyan },
    { title: 'KEY', value: ({ key }) => key ?? '-', shrink: 6 },
    { title: 'TRIES', value: ({ attempts }) => String(attempts), align: 'right', optional: true },
    { title: 'PARKED', value: ({ parkedForMs }) => formatMs(parkedForMs), align: 'right', optional: true },
    { title: 'NEXT', value: nextOf, align: 'right' },
    {
      title: 'WHY',
      value: ({ error, reason }) => parkedErrorText(error ?? reason).replace(/^HoldfastError: /, ''),
      shrink: 16,
      optional: true,
    },
  ];
  const table = formatTable(parked, [...databaseColumn(parked, ui), ...ofValues(columns)], ui);
  const dead = parked.some(({ value }) => value.state === 'dead');
  const hints = [
    ...further,
    'dead waits for a person, failed is tried again by itself, behind waits for an earlier one of its key.',
    ...(dead ? ["Then: holdfast parked show ID · retry ID · discard ID --reason '…'"] : []),
  ];
  return `${table}\n\n${style.dim(hints.join('\n'))}`;
}

function furtherHints({ database, value: { looked, next } }: Said<ParkedPage>): readonly string[] {
  const where = database === null ? '' : `${database}: `;
  const at = next === null || database === null ? next : `${next} --database ${database}`;
  if (!looked.complete) return [`${where}${formatLooked({ ...looked, reached: null }, 'parked messages', at)}`];
  return at === null ? [] : [`${where}Further ones: the same with --cursor ${at}`];
}

function nextOf({ state, retryInMs }: ParkedSummary): string {
  if (state === 'dead') return 'never';
  if (retryInMs === null) return '-';
  return retryInMs === 0 ? 'now' : formatMs(retryInMs);
}

export async function parkedShow(context: Context, [id = '']: readonly string[]): Promise<VerbReport> {
  const { database, value: found } = await inWhichever(context, (each) => showParked(each, id));
  const redact = redactorOf(context);
  const places = found.map((place) => redactParked(place, redact));
  return {
    json: { ...inDatabase(database), parked: places },
    text: (ui) => places.map((place) => formatDetails(place, ui)).join('\n\n\n'),
  };
}

function formatDetails(parked: ParkedDetails, ui: Ui): string {
  const { style } = ui;
  const facts = formatFacts(
    [
      ['message', style.bold(parked.id)],
      ['parked by', `${parked.kind} ${parked.where}`],
      ['topic', style.cyan(parked.topic)],
      ['key', parked.key ?? '- (no order)'],
      ['state', meaningOf(parked)],
      [
        'since',
        `${formatTime(parked.parkedAt)} (${formatMs(parked.parkedForMs)} ago), ${plural(parked.attempts, 'attempt')}`,
      ],
      ['reason', parked.reason],
      ...(parked.error === null ? [] : [['error', style.red(parkedErrorText(parked.error))] as const]),
      ...(parked.revised ? [['edited', editedText(parked)] as const] : []),
      ...(parked.waitingBehind === 0
        ? []
        : [['behind it', `${plural(parked.waitingBehind, 'message')} of its key`] as const]),
    ],
    style,
  );
  return `${facts}\n\n${style.dim('data')}\n${indent(parked.data)}`;
}

function editedText({ kind }: ParkedDetails): string {
  return kind === 'relay' ? 'this payload goes out; the log keeps the other' : 'this payload is handled';
}

function meaningOf({ state, retryInMs, headId }: ParkedDetails): string {
  if (state === 'dead') return 'dead: no retry will take it up by itself; retry or discard it';
  if (state === 'behind') return `behind: waits for ${headId ?? 'nothing any more; it goes on by itself'}`;
  return `failed: tried again ${retryInMs === null || retryInMs === 0 ? 'now' : `in ${formatMs(retryInMs)}`}`;
}

export async function parkedRetry(context: Context, [id]: readonly string[]): Promise<VerbReport> {
  if (wantsMany(context, id)) {
    const withoutPredecessor = context.flags['withoutPredecessor'] === true;
    return actOnMany(
      context,
      { kind: 'parked.retry', select: criteriaOf(context), ...(withoutPredecessor ? { withoutPredecessor } : {}) },
      formatGroups,
    );
  }
  const selection = {
    id,
    key: textFlag(context, 'key'),
    all: context.flags['all'] === true,
    subscription: textFlag(context, 'subscription'),
    consumer: textFlag(context, 'consumer'),
  };
  const act = {
    actor: actorOf(context),
    reason: textFlag(context, 'reason'),
    withoutPredecessor: context.flags['withoutPredecessor'] === true,
  };
  const places = await withDatabase(context, (database) => retryParked(database, selection, act));
  const retried = places.reduce((sum, place) => sum + place.retried, 0);
  const unrouted = places.reduce((sum, place) => sum + place.unrouted, 0);
  return {
    json: { retried, places },
    text: ({ style }) =>
      retried === 0
        ? 'Nothing had failed there: nothing to retry.'
        : [
            `${style.green('Due now:')} ${plural(retried, 'message')} (${places.map(({ kind, where, retried: count }) => `${kind} ${where}: ${count}`).join(', ')}).`,
            'Running relays and consumers take them up within a second or so, each key in order.',
            ...(unrouted === 0
              ? []
              : [
                  `${style.yellow(`${plural(unrouted, 'message')} will stay parked:`)} no route of the subscription has their topic. Give it one, restart the relay, and retry; or discard them.`,
                ]),
          ].join('\n'),
  };
}

export async function parkedDiscard(context: Context, [id]: readonly string[]): Promise<VerbReport> {
  if (wantsMany(context, id) || id === undefined) {
    const select = criteriaOf(context);
    if (Object.keys(select).length === 0 && context.flags['all'] !== true) throw nothingChosen();
    return actOnMany(context, { kind: 'parked.discard', select }, formatGroups);
  }
  const selection = { id, subscription: textFlag(context, 'subscription'), consumer: textFlag(context, 'consumer') };
  const act = { actor: actorOf(context), reason: textFlag(context, 'reason') ?? '' };
  const discarded = await withDatabase(context, (database) => discardParked(database, selection, act));
  return {
    json: { discarded },
    text: ({ style }) =>
      `${style.green('Discarded:')} ${discarded.topic} ${discarded.id}, parked by ${discarded.kind} ${discarded.where}. What waited behind it goes on.`,
  };
}

function placeOf(context: Context): { kind: 'relay' | 'consumer' | undefined; where: string | undefined } {
  const subscription = textFlag(context, 'subscription');
  const consumer = textFlag(context, 'consumer');
  if (subscription !== undefined && consumer !== undefined) {
    throw new HoldfastError('HF_CONFIG', 'Both --subscription and --consumer are given.', {
      advice: 'Give one of them.',
    });
  }
  if (subscription !== undefined) return { kind: 'relay', where: subscription };
  return consumer === undefined ? { kind: undefined, where: undefined } : { kind: 'consumer', where: consumer };
}

function stateOf(context: Context): ParkedState | undefined {
  const state = textFlag(context, 'state');
  if (state === undefined || state === 'failed' || state === 'behind' || state === 'dead') return state;
  throw new HoldfastError('HF_CONFIG', `--state is ${JSON.stringify(state)}.`, {
    advice: 'Give failed, behind or dead.',
  });
}
