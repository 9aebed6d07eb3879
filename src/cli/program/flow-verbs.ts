/**
 * The verbs about messages, their flags and help: the log, what is parked, and who reads the log.
 */
import type { Command } from 'commander';
import { addActOptions } from '../verb.ts';
import { filterOptions, manyOptions, type Shell } from './shell.ts';

// Loaded when they are asked for: the command line is to answer at once.
const outboxVerbs = () => import('../verbs/outbox.ts');
const parkedVerbs = () => import('../verbs/parked.ts');
const jobVerbs = () => import('../verbs/job.ts');
const subscriptionVerbs = () => import('../verbs/subscription.ts');

const findVerbs = () => import('../verbs/find.ts');

export function addFindVerb({ program, verb }: Shell): void {
  verb(program, {
    name: 'find',
    description: 'what has this id, or this key: messages, runs, and what is parked',
    load: async () => (await findVerbs()).find,
  })
    .argument('<text>', 'an id, how one begins, a key, or a correlation id')
    .option('--cursor <cursor>', 'look further back among the messages: as the answer before says');
}

export function addOutboxVerbs({ verb, group }: Shell): void {
  const outbox = group('outbox', 'look into the log, publish part of it again');
  const ls = verb(outbox, {
    name: 'ls',
    description: 'messages of the log, newest first',
    load: async () => (await outboxVerbs()).outboxLs,
  });
  filterOptions(ls)
    .option('--since <time>', 'written since: 30m, 2h, 7d ago, or a date')
    .option('--until <time>', 'written before')
    .option('--id <prefix>', 'whose id is this, or begins so')
    .option('--correlation <id>', 'with this correlation id')
    .option('--cause <id>', 'sent while this message was handled')
    .option('--header <name=value>', 'with this header of their own; may be repeated', many)
    .option('--payload <json>', 'whose payload contains this JSON, as PostgreSQL has it (@>); or @file, or -')
    .option('--before <seq>', 'older than this seq: the next page')
    .option('--after <seq>', 'newer than this seq, oldest first')
    .option('--cursor <cursor>', 'a page of the same list: what --json calls older and newer')
    .option('--limit <n>', 'at most so many (default: 20)');
  verb(outbox, {
    name: 'show',
    description: 'one message: envelope, payload, and where it has been',
    load: async () => (await outboxVerbs()).outboxShow,
  }).argument('<id>', 'message id');
  verb(outbox, {
    name: 'path',
    description: 'the whole way of one message: who wrote it, where it has been, what it led to',
    load: async () => (await findVerbs()).outboxPath,
  }).argument('<id>', 'message id');
  const replay = verb(outbox, {
    name: 'replay',
    description: 'publish part of the log again; inboxes make it harmless',
    load: async () => (await outboxVerbs()).outboxReplay,
  });
  filterOptions(replay)
    .option('--subscription <name>', 'on which subscription; may be left out when there is one')
    .option('--since <time>', 'written since: 30m, 2h, 7d ago, or a date')
    .option('--until <time>', 'written before')
    .option('--from-seq <seq>', 'from this seq on')
    .option('--to-seq <seq>', 'up to this seq')
    .option('--all', 'everything that is still in the log')
    .option('--dry-run', 'only show what would be published again');
  addActOptions(replay, 'optional');
}

export function addParkedVerbs(shell: Shell): void {
  const { verb, group } = shell;
  const parked = group(
    'parked',
    'messages taken out of the flow: by relays (not published) and consumers (not handled)',
  );
  const ls = verb(parked, {
    name: 'ls',
    description: 'parked messages, place by place, in each the oldest first',
    load: async () => (await parkedVerbs()).parkedLs,
  });
  placeOptions(filterOptions(ls))
    .option('--state <state>', 'failed, behind or dead')
    .option('--group <group>', 'only this group, as `parked groups` names it')
    .option('--cursor <cursor>', 'the page behind, as the one before says')
    .option('--limit <n>', 'at most so many (default: 50)');
  verb(parked, {
    name: 'show',
    description: 'one parked message: why, its payload, what waits behind it',
    load: async () => (await parkedVerbs()).parkedShow,
  }).argument('<id>', 'message id');
  const groups = verb(parked, {
    name: 'groups',
    description: 'failed messages by place, topic, reason and kind of error, with counts over time',
    load: async () => (await import('../verbs/parked-groups.ts')).parkedGroupsLs,
  });
  criteriaOptions(placeOptions(groups))
    .option('--key <key>', 'only this key')
    .option('--bucket <duration>', 'length of one of the 24 counts over time (default: 1h)')
    .option('--limit <n>', 'at most so many groups (default: 50)');
  const retry = verb(parked, {
    name: 'retry',
    description: 'try failed messages again now, each key in order',
    load: async () => (await parkedVerbs()).parkedRetry,
  });
  placeOptions(retry)
    .argument('[id]', 'message id')
    .option('--key <key>', 'all of this key')
    .option('--all', 'all of them')
    .option('--without-predecessor', 'consumers: go on although the message before it is missing');
  manyOptions(criteriaOptions(retry));
  addActOptions(retry, 'optional');
  const discard = verb(parked, {
    name: 'discard',
    description: 'give parked messages up for good',
    load: async () => (await parkedVerbs()).parkedDiscard,
  });
  placeOptions(discard)
    .argument('[id]', 'message id')
    .option('--key <key>', 'with the flags for many, all of this key')
    .option('--all', 'with the flags for many, all of them');
  manyOptions(criteriaOptions(discard));
  addActOptions(discard, 'optional');
  addEditVerb(shell, parked);
}

function addEditVerb({ verb }: Shell, parked: Command): void {
  const edit = verb(parked, {
    name: 'edit',
    description: 'put a new version of a parked message in its place: another payload',
    load: async () => (await import('../verbs/parked-edit.ts')).parkedEdit,
  });
  placeOptions(edit)
    .argument('<id>', 'message id')
    .option('--payload-file <file>', 'its payload, as JSON; - for standard input')
    .option('--payload <json>', 'its payload: JSON, @file, or -')
    .option('--patch <json>', 'what is different (a JSON merge patch): JSON, @file, or -')
    .option('--yes', 'do it; otherwise only the difference is shown');
  addActOptions(edit, 'optional');
}

/** Which of many parked messages. */
function criteriaOptions(command: Command): Command {
  return command
    .option('--group <group>', 'one kind of error in one place, as `parked groups` names it')
    .option('--topic <pattern>', "only these topics: 'order.placed', 'order.*', 'order.**'")
    .option('--dead', 'only those that nobody takes up again by itself')
    .option('--since <time>', 'parked since: 30m, 2h, 7d ago, or a date')
    .option('--until <time>', 'parked before');
}

export function addJobVerbs({ verb, group }: Shell): void {
  const job = group('job', 'acts on many that were started: look at them, end them, go on with them');
  verb(job, {
    name: 'ls',
    description: 'jobs, newest first',
    load: async () => (await jobVerbs()).jobLs,
  })
    .option('--state <state>', 'only open, done or aborted')
    .option('--orphaned', 'only open ones that nobody works on')
    .option('--limit <n>', 'at most so many (default: 20)');
  verb(job, {
    name: 'show',
    description: 'one job: what it is for, how far it is, what was passed over or failed',
    load: async () => (await jobVerbs()).jobShow,
  }).argument('<id>', 'its id');
  const abort = verb(job, {
    name: 'abort',
    description: 'end a job; what it has done stays done',
    load: async () => (await jobVerbs()).jobAbort,
  }).argument('<id>', 'its id');
  addActOptions(abort, 'optional');
  const resume = verb(job, {
    name: 'resume',
    description: 'go on with a job whose process was stopped or died',
    load: async () => (await jobVerbs()).jobResume,
  }).argument('<id>', 'its id');
  addActOptions(resume, 'optional');
}

export function addSubscriptionVerbs({ verb, group }: Shell): void {
  const subscription = group('subscription', 'readers of the log');
  verb(subscription, {
    name: 'ls',
    description: 'subscriptions and who holds them',
    load: async () => (await subscriptionVerbs()).subscriptionLs,
  });
  const drop = verb(subscription, {
    name: 'drop',
    description: 'remove a subscription that is gone for good',
    load: async () => (await subscriptionVerbs()).subscriptionDrop,
  })
    .argument('<name>', 'its name')
    .option('--discard-parked', 'also when it has parked messages, which are then lost');
  addActOptions(drop, 'required');
}

function many(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

function placeOptions(command: Command): Command {
  return command
    .option('--subscription <name>', 'parked by the relay of this subscription')
    .option('--consumer <name>', 'parked by this consumer');
}
