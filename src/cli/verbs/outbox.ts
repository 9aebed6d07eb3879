/**
 * `holdfast outbox ls | show | replay`: looking into the log, and publishing part of it again.
 */
import { HoldfastError } from '../../errors.ts';
import { tellEncrypted } from '../../message/encrypted-value.ts';
import {
  showMessage,
  type MessageDetails,
  type MessageSummary,
  type ScheduledDetails,
} from '../../operations/reads/messages.ts';
import { writePageCursor } from '../../operations/reads/page-cursor.ts';
import type { Looked } from '../../operations/reads/page-walk.ts';
import { searchMessages, type FoundMessage, type MessagePage } from '../../operations/reads/search-messages.ts';
import { redactMessage } from '../../operations/redaction/redact-message.ts';
import { relayStatus } from '../../operations/relay/relay-status.ts';
import { planReplay, requestReplay, type ReplayPlan } from '../../operations/relay/replays.ts';
import type { Database } from '../../postgres/database.ts';
import { jsonFlag } from '../json-flag.ts';
import { formatBytes, formatCount, formatMs, formatTime, plural } from '../output/format.ts';
import { formatLooked, LOOK_FOR } from '../output/looked.ts';
import type { VerbReport, Ui } from '../output/report.ts';
import { formatFacts, formatTable } from '../output/table.ts';
import { inDatabase, inWhichever } from '../over.ts';
import { actorOf, numberFlag, redactorOf, textFlag, timeFlag, withDatabase, type Context } from '../verb.ts';

export async function outboxLs(context: Context): Promise<VerbReport> {
  const limit = numberFlag(context, 'limit', '--limit') ?? 20;
  const after = numberFlag(context, 'after', '--after');
  const filter = {
    topic: textFlag(context, 'topic'),
    key: textFlag(context, 'key'),
    since: timeFlag(context, 'since', '--since'),
    until: timeFlag(context, 'until', '--until'),
    id: textFlag(context, 'id'),
    correlationId: textFlag(context, 'correlation'),
    causationId: textFlag(context, 'cause'),
    headers: headersFlag(context),
    payload: jsonFlag(context, 'payload', '--payload'),
    cursor: cursorOf(context, after),
  };
  const filtered = Object.values(filter).some((value) => value !== undefined);
  const page = await withDatabase(context, (database) =>
    searchMessages(database, { ...filter, limit, lookFor: LOOK_FOR }),
  );
  const isUpwards = after !== undefined;
  const messages = isUpwards ? page.messages.toReversed() : page.messages;
  const next = nextOf(page, messages, isUpwards, limit);
  return {
    json: { messages, next, older: page.older, newer: page.newer, looked: page.looked },
    text: (ui) => formatMessages(messages, { filtered, next, looked: page.looked }, ui),
  };
}

/** --before and --after name a seq, which is easier to write than a cursor. */
function cursorOf(context: Context, after: number | undefined): string | undefined {
  const before = numberFlag(context, 'before', '--before');
  const seq = after ?? before;
  if (seq === undefined) return textFlag(context, 'cursor');
  return writePageCursor({
    order: 'seq',
    to: after === undefined ? 'older' : 'newer',
    inclusive: false,
    key: [String(seq)],
  });
}

/** --header name=value, as often as there are any. */
function headersFlag(context: Context): Readonly<Record<string, string>> | undefined {
  const given = context.flags['header'];
  if (!Array.isArray(given)) return undefined;
  return Object.fromEntries(
    (given as readonly string[]).map((each) => {
      const [, name, value] = /^([^=]+)=(.*)$/s.exec(each) ?? [];
      if (name !== undefined && value !== undefined) return [name, value];
      throw new HoldfastError('HF_CONFIG', `--header is ${JSON.stringify(each)}.`, { advice: 'Give name=value.' });
    }),
  );
}

type Next = ({ readonly beforeSeq: number } | { readonly afterSeq: number }) & { readonly cursor: string };

/** Where the page goes on, by its last place and by its cursor; null: there is no more. */
function nextOf(page: MessagePage, messages: readonly FoundMessage[], isUpwards: boolean, limit: number): Next | null {
  const cursor = isUpwards ? page.newer : page.older;
  const isMore = !page.looked.complete || messages.length === limit;
  if (cursor === null || !isMore) return null;
  const seq = messages.at(-1)?.seq ?? 0;
  return isUpwards ? { afterSeq: seq, cursor } : { beforeSeq: seq, cursor };
}

interface Page {
  readonly filtered: boolean;
  readonly next: Next | null;
  readonly looked: Looked;
}

export function formatMessages(messages: readonly MessageSummary[], { filtered, next, looked }: Page, ui: Ui): string {
  const { style } = ui;
  const far = formatLooked(looked, 'messages', next?.cursor ?? null);
  if (messages.length === 0) {
    if (!looked.complete) return `No message fits so far.\n${style.dim(far)}`;
    if (filtered)
      return 'No message of the log fits. Retention prunes what is published and old, and no search looks into what is encrypted; without a filter you see all there is.';
    return 'The log is empty: nothing has been sent yet, or all of it was published and pruned.\nSend with outbox.send(tx, …) or SELECT holdfast.send(…), and commit.';
  }
  const table = formatTable(
    messages,
    [
      { title: 'SEQ', value: ({ seq }) => String(seq), align: 'right', paint: style.bold },
      { title: 'ID', value: ({ id }) => id, paint: style.dim },
      { title: 'TOPIC', value: ({ topic }) => topic, shrink: 12, paint: style.cyan },
      { title: 'KEY', value: ({ key }) => key ?? '-', shrink: 8 },
      { title: 'SIZE', value: ({ payloadBytes }) => formatBytes(payloadBytes), align: 'right', optional: true },
      { title: 'AGE', value: ({ ageMs }) => formatMs(ageMs), align: 'right' },
    ],
    ui,
  );
  if (!looked.complete) return `${table}\n\n${style.dim(far)}`;
  if (next === null) return table;
  const flag = 'beforeSeq' in next ? `--before ${next.beforeSeq}` : `--after ${next.afterSeq}`;
  return `${table}\n\n${style.dim(`More: the same with ${flag}`)}`;
}

export async function outboxShow(context: Context, [id = '']: readonly string[]): Promise<VerbReport> {
  const { database, value } = await inWhichever(context, (each) => showMessage(each, id));
  const found = redactMessage(value, redactorOf(context));
  return {
    json: { ...inDatabase(database), ...found },
    text: (ui) => ('scheduled' in found ? formatScheduled(found.scheduled, ui) : formatMessage(found, ui)),
  };
}

function formatMessage(message: MessageDetails, { style }: Ui): string {
  const { data, ...envelope } = message.envelope;
  const paint = {
    passed: style.green,
    handled: style.green,
    waiting: style.yellow,
    unrouted: style.yellow,
    parked: style.red,
  };
  const passages = [
    ...message.subscriptions.map(({ subscription, state }) => [`relay ${subscription}`, paint[state](state)] as const),
    ...message.consumers.map(
      ({ consumer, state, at }) =>
        [`consumer ${consumer}`, `${paint[state](state)} ${style.dim(formatTime(at))}`] as const,
    ),
  ];
  const facts = formatFacts(
    [
      ['message', style.bold(message.id)],
      ['topic', style.cyan(message.topic)],
      ['key', message.key ?? '- (no order)'],
      ['seq', `${message.seq}, lane ${message.lane}, transaction ${message.xid}`],
      ['written', `${formatTime(message.createdAt)} (${formatMs(message.ageMs)} ago)`],
      ['size', formatBytes(message.payloadBytes)],
    ],
    style,
  );
  const where =
    passages.length === 0 ? 'No relay has run on this database yet; the message waits.' : formatFacts(passages, style);
  return [facts, where, `${style.dim('envelope')}\n${indent(envelope)}`, `${style.dim('data')}\n${indent(data)}`].join(
    '\n\n',
  );
}

function formatScheduled({ id, topic, key, dueAt, payload }: ScheduledDetails, { style }: Ui): string {
  const leftMs = dueAt.getTime() - Date.now();
  const facts = formatFacts(
    [
      ['message', style.bold(id)],
      ['topic', style.cyan(topic)],
      ['key', key ?? '- (no order)'],
      ['scheduled', `${formatTime(dueAt)} (${leftMs > 0 ? `in ${formatMs(leftMs)}` : 'due now'})`],
    ],
    style,
  );
  return `${facts}\n\n${style.dim('data')}\n${indent(payload)}`;
}

/** JSON as people read it, two columns in; of what is encrypted, by which key. */
export function indent(value: unknown): string {
  return (JSON.stringify(value, tellEncrypted, 2) ?? 'undefined').replaceAll(/^/gm, '  ');
}

export async function outboxReplay(context: Context): Promise<VerbReport> {
  const { flags } = context;
  const range = {
    since: timeFlag(context, 'since', '--since'),
    until: timeFlag(context, 'until', '--until'),
    fromSeq: numberFlag(context, 'fromSeq', '--from-seq'),
    toSeq: numberFlag(context, 'toSeq', '--to-seq'),
  };
  const narrowed = { topic: textFlag(context, 'topic'), key: textFlag(context, 'key') };
  if (range.since === undefined && range.fromSeq === undefined && flags['all'] !== true) {
    throw new HoldfastError('HF_CONFIG', 'Nothing says from where the log is to be published again.', {
      advice: 'Give --since (2h, 2026-01-31) or --from-seq; for everything that is still there, --all.',
    });
  }
  const dryRun = flags['dryRun'] === true;
  return withDatabase(context, async (database) => {
    const subscription = textFlag(context, 'subscription') ?? (await onlySubscription(database));
    const options = { subscription, ...range, ...narrowed };
    if (dryRun) {
      const plan = await planReplay(database, options);
      return {
        json: { dryRun: true, ...plan },
        text: ({ style }) =>
          `${style.bold('Would publish again')} ${describePlan(plan)}.\nNothing was asked for: leave out --dry-run.`,
      };
    }
    const replay = await requestReplay(database, options, {
      actor: actorOf(context),
      reason: textFlag(context, 'reason'),
    });
    return {
      json: replay,
      text: ({ style }) =>
        [
          `${style.green('Replay')} ${style.bold(replay.id)} asked for: ${describePlan(replay)}.`,
          'The relay publishes them between live messages; consumers with an inbox ignore what they have handled.',
          style.dim('Progress: holdfast status'),
        ].join('\n'),
    };
  });
}

function describePlan(plan: ReplayPlan): string {
  const { subscription, messages, atLeast, unrouted, fromSeq, toSeq, oldest, newest } = plan;
  const count = `${atLeast ? 'more than ' : ''}${plural(messages, 'message')}`;
  const others = unrouted === 0 ? '' : ` (${formatCount(unrouted)} more have no route there and are passed over)`;
  return `${count} on ${subscription}${others}, seq ${formatCount(fromSeq)} to ${formatCount(toSeq)}, written ${formatTime(oldest)} to ${formatTime(newest)}`;
}

async function onlySubscription(database: Database): Promise<string> {
  const { subscriptions } = await relayStatus(database);
  const [only, ...others] = new Set(subscriptions.map(({ name }) => name));
  if (only !== undefined && others.length === 0) return only;
  throw new HoldfastError(
    'HF_CONFIG',
    only === undefined ? 'No relay has run on this database yet.' : 'There are several subscriptions.',
    {
      advice:
        only === undefined
          ? 'Start one first; it publishes what is there by itself.'
          : `Say which with --subscription: ${[only, ...others].join(', ')}.`,
    },
  );
}
