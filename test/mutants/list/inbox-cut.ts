/**
 * Mistakes in what becomes of a message, or a command, under whose handler the connection breaks.
 */
import type { Mutant } from '../mutant.ts';

const ATTEMPT = 'src/inbox/delivery/attempt.ts';
const CLIENT = 'src/inbox/handlers/client-transaction.ts';
const RUNNER = 'src/inbox/handlers/runner-unit-of-work.ts';
const DECIDE = 'src/inbox/handlers/decide.ts';
const COUNT = 'src/inbox/delivery/cut-messages.ts';
const BROKEN = ['test/inbox/connections.test.ts'];
const BY_RUNNER = ['test/inbox/runner-connections.test.ts'];
const DECISIONS = ['test/inbox/decide.test.ts'];
const COUNTS = ['test/inbox/cut-messages.test.ts'];

export const INBOX_CUT: readonly Mutant[] = [
  {
    name: 'inbox/cut/counts',
    file: ATTEMPT,
    from: `  return isMeant(outcome.error) ? outcome : { kind: 'cut', error: outcome.error };`,
    to: '  return outcome;',
    breaks: 'I16: a connection that breaks under a handler uses up an attempt, and an innocent message is parked',
    tests: BROKEN,
  },
  {
    name: 'inbox/cut/refused-command',
    file: ATTEMPT,
    from: `  return isMeant(outcome.error) ? outcome : { kind: 'cut', error: outcome.error };`,
    to: '  return outcome;',
    breaks: 'I16: a connection that breaks under a participant parks its command, and the saga is compensated',
    tests: ['test/saga/participant-connections.test.ts'],
  },
  {
    name: 'inbox/cut/no-is-not-heard',
    file: ATTEMPT,
    from: `  return isMeant(outcome.error) ? outcome : { kind: 'cut', error: outcome.error };`,
    to: `  return { kind: 'cut', error: outcome.error };`,
    breaks: 'a message that its handler refuses for good is tried again, because the connection broke as well',
    tests: BROKEN,
  },
  {
    name: 'inbox/cut/commit-counts',
    file: ATTEMPT,
    from: `      return classifySqlError(error) === 'connection' ? { kind: 'cut', error } : handlerOutcome(error);`,
    to: `      return handlerOutcome(error);`,
    breaks: 'I16: a connection that breaks in COMMIT uses up an attempt, and an innocent message is parked',
    tests: BROKEN,
  },
  {
    name: 'inbox/cut/what-it-left-behind',
    file: 'src/inbox/handlers/postgres-unit-of-work.ts',
    from: `      if (transaction.isCut) return { kind: 'failed', phase: 'cut', error: cutTransaction() };
`,
    to: '',
    breaks: 'I16: a handler that took no notice of a broken connection is parked for the transaction that it left open',
    tests: BROKEN,
  },
  {
    name: 'inbox/cut/ended-by-us',
    file: CLIENT,
    from: `      if (error instanceof HoldfastError) await this.sever();
      else this.#wasGone = true;`,
    to: `      if (error instanceof HoldfastError) await this.sever();
      this.#wasGone = true;`,
    breaks: 'a handler that leaves statements running has more attempts than it was given',
    tests: BROKEN,
  },
  {
    name: 'inbox/cut/left-running',
    file: CLIENT,
    from: `      if (error instanceof HoldfastError) await this.sever();
      else this.#wasGone = true;`,
    to: `      if (!(error instanceof HoldfastError)) this.#wasGone = true;`,
    breaks: 'I17: what a handler left running holds its mark, and the message waits for it',
    tests: BROKEN,
  },
  {
    name: 'inbox/runner/cut-counts',
    file: RUNNER,
    from: `value: this.#asked.value, cut: this.#isCut };`,
    to: `value: this.#asked.value };`,
    breaks: 'I16: a connection that breaks under the handler of a runner uses up an attempt',
    tests: BY_RUNNER,
  },
  {
    name: 'inbox/runner/cut-and-unnoticed',
    file: RUNNER,
    from: `    if (this.#isCut && this.#asked?.end === 'commit') return { kind: 'failed', phase: 'cut', error: cutTransaction() };
`,
    to: '',
    breaks: 'I16: a handler that takes no notice of a broken connection is parked for what its runner says of it',
    tests: BY_RUNNER,
  },
  {
    name: 'inbox/runner/not-over',
    file: RUNNER,
    from: `    await inTime(withinMs, () => this.#carriedOut).catch(() => undefined);
`,
    to: `    void withinMs;
`,
    breaks: 'I4: a handler is run again beside itself, when its runner has left because the connection broke',
    tests: BY_RUNNER,
  },
  {
    name: 'inbox/runner/commit-counts',
    file: RUNNER,
    from: `    if (this.#wasCommitCut) return { kind: 'failed', phase, error: lostCommit(error) };
`,
    to: '',
    breaks: 'I16: a connection that breaks in the COMMIT of a runner uses up an attempt',
    tests: BY_RUNNER,
  },
  {
    name: 'inbox/runner/ended-without-a-number',
    file: 'src/postgres/runner-connection.ts',
    from: `(xid === undefined ? row['open'] === 'yes' : row['xid'] === xid)`,
    to: `(xid === undefined || row['xid'] === xid)`,
    breaks:
      'a handler that ends its transaction by the runner, having written nothing, has more attempts than it was given',
    tests: BY_RUNNER,
  },
  {
    name: 'inbox/cut/without-end',
    file: DECIDE,
    from: `      if (progress.cuts <= FREE_CUTS) return afterCut(progress, random);
      return afterFailure(cutEachTime(outcome.error), progress, policies);`,
    to: `      return afterCut(progress, random);`,
    breaks: 'I16: a statement that crashes its server process is repeated without end, and ends all other connections',
    tests: DECISIONS,
  },
  {
    name: 'inbox/cut/no-rest',
    file: DECIDE,
    from: `  const delayMs = backoffMs(HOLD, cuts, random);`,
    to: `  const delayMs = backoffMs({ ...HOLD, baseMs: 0 }, cuts, random);`,
    breaks: 'a message whose connection breaks is tried again at once, before the server is back',
    tests: DECISIONS,
  },
  {
    name: 'inbox/cut/redriven-without-end',
    file: 'src/inbox/handlers/decide-redrive.ts',
    from: `      if (cuts <= FREE_CUTS) return { do: 'postpone', delayMs: LATER_WHILE_UNAVAILABLE_MS };
      return keptFailed(cutEachTime(outcome.error), redrives, policies);`,
    to: `      return { do: 'postpone', delayMs: LATER_WHILE_UNAVAILABLE_MS };`,
    breaks: 'I16: a parked message that crashes its server process does so every five seconds',
    tests: DECISIONS,
  },
  {
    name: 'inbox/cut/redrive-counts',
    file: 'src/inbox/handlers/decide-redrive.ts',
    from: `      if (cuts <= FREE_CUTS) return { do: 'postpone', delayMs: LATER_WHILE_UNAVAILABLE_MS };
`,
    to: '',
    breaks: 'I16: a connection that breaks uses up a redrive',
    tests: BROKEN,
  },
  {
    name: 'inbox/cut/time-counts',
    file: 'src/inbox/handlers/delivery-progress.ts',
    from: `      else if (outcome.kind === 'cut' && this.cuts <= FREE_CUTS) this.#freeMs += nowMs - this.#lastMs;
`,
    to: '',
    breaks: 'I16: the time of attempts whose connection broke is taken from those that follow',
    tests: ['test/inbox/delivery-progress.test.ts'],
  },
  {
    name: 'inbox/cut/forgotten-while-away',
    file: COUNT,
    from: `  'unavailable',
`,
    to: '',
    breaks: 'I16: a message that crashes the server is never found, because the server is away after each time',
    tests: COUNTS,
  },
  {
    name: 'inbox/cut/remembered-for-ever',
    file: COUNT,
    from: `    if (this.#cuts.size > MAX_CUT) {`,
    to: `    if (this.#cuts.size > 2 * MAX_CUT) {`,
    breaks: 'I18: a process remembers each message whose connection ever broke',
    tests: COUNTS,
  },
];
