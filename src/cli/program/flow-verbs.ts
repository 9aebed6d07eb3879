/**
 * The verbs about messages, their flags and help: the log, what is parked, and who reads the log.
 */
import type { Command } from 'commander';
import { addActOptions } from '../verb.ts';
import { filterOptions, type Shell } from './shell.ts';

// Loaded when they are asked for: the command line is to answer at once.
const outboxVerbs = () => import('../verbs/outbox.ts');
const parkedVerbs = () => import('../verbs/parked.ts');
const subscriptionVerbs = () => import('../verbs/subscription.ts');

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
    .option('--before <seq>', 'older than this seq: the next page')
    .option('--after <seq>', 'newer than this seq, oldest first')
    .option('--limit <n>', 'at most so many (default: 20)');
  verb(outbox, {
    name: 'show',
    description: 'one message: envelope, payload, and where it has been',
    load: async () => (await outboxVerbs()).outboxShow,
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

export function addParkedVerbs({ verb, group }: Shell): void {
  const parked = group(
    'parked',
    'messages taken out of the flow: by relays (not published) and consumers (not handled)',
  );
  const ls = verb(parked, {
    name: 'ls',
    description: 'parked messages, oldest first',
    load: async () => (await parkedVerbs()).parkedLs,
  });
  placeOptions(filterOptions(ls))
    .option('--state <state>', 'failed, behind or dead')
    .option('--limit <n>', 'at most so many (default: 50)');
  verb(parked, {
    name: 'show',
    description: 'one parked message: why, its payload, what waits behind it',
    load: async () => (await parkedVerbs()).parkedShow,
  }).argument('<id>', 'message id');
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
  addActOptions(retry, 'optional');
  const discard = verb(parked, {
    name: 'discard',
    description: 'give a parked message up for good',
    load: async () => (await parkedVerbs()).parkedDiscard,
  });
  placeOptions(discard).argument('<id>', 'message id');
  addActOptions(discard, 'required');
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

function placeOptions(command: Command): Command {
  return command
    .option('--subscription <name>', 'parked by the relay of this subscription')
    .option('--consumer <name>', 'parked by this consumer');
}
