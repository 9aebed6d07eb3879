/**
 * Mistakes in what a consumer decides to do with a delivery: src/inbox/handlers/decide.ts and the retention of marks.
 */
import type { Mutant } from '../mutant.ts';

const DECIDE = 'src/inbox/handlers/decide.ts';
const TESTS = ['test/inbox/decide.test.ts'];

export const INBOX_DECIDE: readonly Mutant[] = [
  {
    name: 'inbox/decide/awaiting-acknowledged',
    file: DECIDE,
    from: `      return progress.awaitedMs < policies.predecessorWaitMs
        ? { do: 'later', delayMs: PREDECESSOR_POLL_MS }`,
    to: `      return progress.awaitedMs < policies.predecessorWaitMs
        ? { do: 'acknowledge' }`,
    breaks: 'I1: a message that came before its predecessor is lost',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/aborted-acknowledged',
    file: DECIDE,
    from: `    case 'aborted':
      return { do: 'later', delayMs: 0 };
    case 'busy':
      return { do: 'later', delayMs: BUSY_MS };`,
    to: `    case 'aborted':
      return { do: 'acknowledge' };
    case 'busy':
      return { do: 'later', delayMs: BUSY_MS };`,
    breaks: 'I1: a message whose handling was cut off is lost',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/unavailable-is-a-failure',
    file: DECIDE,
    from: `      return { do: 'again', delayMs: backoffMs(HOLD, progress.holds + 1, random), because: 'hold' };`,
    to: `      return afterFailure(outcome.error, progress, policies);`,
    breaks: 'I16: an outage of the database spends the attempts of messages',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/stopping-holds-on',
    file: DECIDE,
    from: `if (progress.stopping || progress.heldMs >= HOLD.withinMs)`,
    to: `if (progress.heldMs >= HOLD.withinMs)`,
    breaks: 'I24: a consumer that is stopped during an outage waits for the database',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/hold-without-end',
    file: DECIDE,
    from: `if (progress.stopping || progress.heldMs >= HOLD.withinMs)`,
    to: `if (progress.stopping)`,
    breaks: 'I17: during an outage messages are held in place for ever, under claims of the broker',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/conflicts-for-ever',
    file: DECIDE,
    from: `if (progress.conflicts <= FREE_CONFLICTS) return`,
    to: `if (progress.conflicts >= 0) return`,
    breaks: 'I17: a transaction that always conflicts is run again for ever, at once',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/permanent-retried',
    file: DECIDE,
    from: `const permanent = isPermanent(error) || isNotYetReadable(error);`,
    to: `const permanent = isNotYetReadable(error);`,
    breaks: 'a permanent error is tried again',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/newer-version-retried-in-place',
    file: DECIDE,
    from: `const permanent = isPermanent(error) || isNotYetReadable(error);`,
    to: `const permanent = isPermanent(error);`,
    breaks: 'a message of a newer version is tried in vain instead of waiting, parked, for a newer process',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/stopping-waits-in-place',
    file: DECIDE,
    from: `    return progress.stopping
      ? { do: 'later', delayMs: decision.delayMs }`,
    to: `    return !progress.stopping
      ? { do: 'later', delayMs: decision.delayMs }`,
    breaks: 'I24: a consumer that stops waits out the pauses between attempts',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/permanent-redriven',
    file: DECIDE,
    from: `  return isPermanent(error) ? null : backoffMs(parkedRetry, 1, random);`,
    to: `  return backoffMs(parkedRetry, 1, random);`,
    breaks: 'a permanent error is tried again, from the parked messages',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/unreadable-run',
    file: DECIDE,
    from: `  if (decodeError !== null) {`,
    to: `  if (decodeError !== null && facts.redeliveries > 0) {`,
    breaks: 'a message that cannot be read is given to a handler',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/newer-wire-given-up',
    file: DECIDE,
    from: `const retryInMs = isHoldfastError(decodeError, 'HF_ENVELOPE_VERSION') ? firstRedriveMs(null, facts.policies) : null;`,
    to: `const retryInMs = null;`,
    breaks: 'I16: messages of a newer relay wait for a person after a deployment',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/redelivered-is-no-suspect',
    file: DECIDE,
    from: `suspect: facts.redeliveries > 0 }`,
    to: `suspect: facts.redeliveries > 1 }`,
    breaks: 'I17: a message that kills its consumer is run beside innocent ones, and its deaths are not counted',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/unhandled-acknowledged-late',
    file: DECIDE,
    from: `if (facts.waitedMs >= facts.handlerWaitMs) return { do: 'park' };`,
    to: `if (facts.waitedMs >= facts.handlerWaitMs) return { do: 'ignore' };`,
    breaks: 'I21: a message without a handler is acknowledged unread',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/unhandled-parked-at-once',
    file: DECIDE,
    from: `if (facts.waitedMs >= facts.handlerWaitMs) return { do: 'park' };`,
    to: `if (facts.waitedMs <= facts.handlerWaitMs) return { do: 'park' };`,
    breaks: 'during a rolling deploy each message of a new topic is parked',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/suspect-parked-early',
    file: DECIDE,
    from: `return attempts > CRASHES_TO_PARK ? 'park' : 'run';`,
    to: `return attempts >= CRASHES_TO_PARK ? 'park' : 'run';`,
    breaks: 'I16: two deaths of a process park an innocent message',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/unlocked-key-entered',
    file: DECIDE,
    from: `  if (!facts.locked) return 'busy';`,
    to: ``,
    breaks: 'I3: two messages of a key are handled at once',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/behind-nobody',
    file: DECIDE,
    from: `if (awaits !== id && !(awaits !== null && allLater)) return 'behind';`,
    to: `if (awaits !== id && awaits !== null && !allLater) return 'behind';`,
    breaks: 'I3: a message overtakes a parked one of its key',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/awaited-one-behind-who-waits',
    file: DECIDE,
    from: `if (awaits !== id && !(awaits !== null && allLater)) return 'behind';`,
    to: `if (!(awaits !== null && allLater)) return 'behind';`,
    breaks: 'I17: a message waits behind the one that waits for it',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/predecessor-not-asked-for',
    file: DECIDE,
    from: `return facts.predecessorSeen === false ? 'awaiting' : 'enter';`,
    to: `return 'enter';`,
    breaks: 'I3: a message that overtook its predecessor is handled first',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/predecessor-in-queue-waived',
    file: DECIDE,
    from: `sentMs < sinceMs && followedMs >= sinceMs;`,
    to: `sentMs < sinceMs;`,
    breaks: 'I3: messages that lay in the queue before the first start do not wait for each other',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/old-predecessor-waited-for',
    file: DECIDE,
    from: `  return beforeFirstRun || facts.atMs < facts.nowMs - (facts.retentionMs - marginMs);`,
    to: `  return beforeFirstRun || facts.atMs < facts.nowMs - (facts.retentionMs + marginMs);`,
    breaks: 'a message whose predecessor was pruned waits for it, and is parked',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/redrive-unavailable-counted',
    file: DECIDE,
    from: `    case 'unavailable':
      return { do: 'postpone', delayMs: LATER_WHILE_UNAVAILABLE_MS };`,
    to: `    case 'unavailable':
      return { do: 'keep', reason: PARK_REASONS.gaveUp, error: null, retryInMs: null };`,
    breaks: 'I16: an outage of the database makes parked messages dead letters',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/redrives-without-end',
    file: DECIDE,
    from: `if (isPermanent(error) || redrives >= parkedRetry.attempts) return null;`,
    to: `if (isPermanent(error)) return null;`,
    breaks: 'a parked message is tried for ever, and no person told',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/longest-retry-too-short',
    file: DECIDE,
    from: `for (let wait = 0; wait < policy.attempts - 1 && totalMs < policy.withinMs; wait += 1)`,
    to: `for (let wait = 0; wait < policy.attempts - 2 && totalMs < policy.withinMs; wait += 1)`,
    breaks: 'I14: the check of the retention reckons with fewer retries than there are',
    tests: ['test/inbox/decide.test.ts', 'test/inbox/retention.test.ts'],
  },
  {
    name: 'inbox/retention/horizon-alone',
    file: 'src/inbox/delivery/retention.ts',
    from: `const neededMs = horizonMs + retriesMs;`,
    to: `const neededMs = horizonMs;`,
    breaks: 'I14: a mark may be pruned while a duplicate is still being retried',
    tests: ['test/inbox/retention.test.ts'],
  },
  {
    name: 'inbox/retention/as-long-is-enough',
    file: 'src/inbox/delivery/retention.ts',
    from: `if (retentionMs > neededMs) return null;`,
    to: `if (retentionMs >= neededMs) return null;`,
    breaks: 'I14: inbox retention > redelivery horizon',
    tests: ['test/inbox/retention.test.ts'],
  },
  {
    name: 'inbox/retention/keys-by-retention-of-marks',
    file: 'src/inbox/delivery/retention.ts',
    from: `      olderThan: idempotencyRetentionMs,`,
    to: `      olderThan: context.retentionMs,`,
    breaks: 'idempotency keys are kept for another time than was said',
    tests: ['test/inbox/retention.test.ts'],
  },
  {
    name: 'inbox/decide/strays-handed-on-for-ever',
    file: DECIDE,
    from: `if (isForOthers(outcome) && progress.awaitedMs < policies.handlerWaitMs)`,
    to: `if (isForOthers(outcome))`,
    breaks: 'I17: a reply whose run is nowhere goes round for ever',
    tests: TESTS,
  },
  {
    name: 'inbox/decide/stray-is-a-failure',
    file: DECIDE,
    from: `if (isForOthers(outcome) && progress.awaitedMs < policies.handlerWaitMs)`,
    to: `if (isForOthers(outcome) && progress.awaitedMs > policies.handlerWaitMs)`,
    breaks: 'I1: a reply for the runs of another database is parked here at once',
    tests: TESTS,
  },
  {
    name: 'inbox/retention/handling-not-reckoned',
    file: 'src/inbox/delivery/retention.ts',
    from: `longestRetryMs(retry) + (Number.isFinite(retry.attempts) ? retry.attempts * timeoutMs : 0),`,
    to: `longestRetryMs(retry),`,
    breaks: 'I14: the time that handlers take is not reckoned with',
    tests: ['test/inbox/retention-rules.test.ts'],
  },
  {
    name: 'inbox/retention/shortest-of-the-handlers',
    file: 'src/inbox/delivery/retention.ts',
    from: `  return Math.max(
    0,`,
    to: `  return Math.min(
    Infinity,`,
    breaks: 'I14: the check of the retention reckons with the handler that gives up first',
    tests: ['test/inbox/retention-rules.test.ts'],
  },
];
