/**
 * Mistakes in a run in memory: the row that it fills, how large its journal is, and when it may leave.
 */
import type { Mutant } from '../mutant.ts';

export const SAGA_RUN: readonly Mutant[] = [
  {
    name: 'saga/run/evicted-and-released-at-once',
    file: 'src/saga/run/cached-run.ts',
    from: `    if (this.#stage === 'evicting') this.#whenWritten = act;
    else act();`,
    to: '    act();',
    breaks: 'a run is given back beside a commit of it',
    tests: ['test/saga/run-stage.test.ts'],
  },
  {
    name: 'saga/run/told-while-written',
    file: 'src/saga/run/cached-run.ts',
    from: `    if (this.#whenWritten === null || this.#stage === 'evicting') return;`,
    to: '    if (this.#whenWritten === null) return;',
    breaks: 'a run is given back beside a commit of it',
    tests: ['test/saga/run-stage.test.ts'],
  },
  {
    name: 'saga/run/time-goes-back',
    file: 'src/saga/run/open-row.ts',
    from: '    if (this.#events.length === 0) this.#at = Math.max(this.#lastAt, Math.floor(now));',
    to: '    if (this.#events.length === 0) this.#at = Math.floor(now);',
    breaks: 'I10: time goes back in a journal when a clock is set back',
    tests: ['test/saga/open-row.test.ts'],
  },
  {
    name: 'saga/run/half-milliseconds',
    file: 'src/saga/run/open-row.ts',
    from: 'Math.max(this.#lastAt, Math.floor(now));',
    to: 'Math.max(this.#lastAt, now);',
    breaks: 'what is told as the time is not what the journal says',
    tests: ['test/saga/open-row.test.ts'],
  },
  {
    name: 'saga/run/handed-in-commit-unmarked',
    file: 'src/saga/run/open-row.ts',
    from: '    for (const reply of handed) reply.inCommit = true;',
    to: '',
    breaks: 'a reply whose commit is under way is given back, and stored a second time',
    tests: ['test/saga/open-row.test.ts'],
  },
  {
    name: 'saga/run/guard-for-ever',
    file: 'src/saga/run/open-row.ts',
    from: `    this.#guarded = false;
    this.#start = null;`,
    to: '    this.#start = null;',
    breaks: 'a run that was guarded once is guarded for ever',
    tests: ['test/saga/open-row.test.ts'],
  },
  {
    name: 'saga/run/messages-twice',
    file: 'src/saga/run/open-row.ts',
    from: `    this.#messages = [];
    this.#runMessages = [];`,
    to: '    this.#runMessages = [];',
    breaks: 'I4: each commit sends what the one before has sent',
    tests: ['test/saga/open-row.test.ts'],
  },
  {
    name: 'saga/run/besides-for-ever',
    file: 'src/saga/run/open-row.ts',
    from: `    this.#besides = false;
    this.#leftToTransaction = false;
    return commit;`,
    to: `    this.#leftToTransaction = false;
    return commit;`,
    breaks: 'runs commit rows with nothing in them',
    tests: ['test/saga/open-row.test.ts'],
  },
  {
    name: 'saga/run/besides-left-to-a-transaction',
    file: 'src/saga/run/open-row.ts',
    from: `  #isBesides(): void {
    this.#besides = true;
    this.#leftToTransaction = false;`,
    to: `  #isBesides(): void {
    this.#besides = true;`,
    breaks: `I1: a message beside a transaction's row is lost`,
    tests: ['test/saga/open-row.test.ts'],
  },
  {
    name: 'saga/run/pushed-and-left-to-a-transaction',
    file: 'src/saga/run/open-row.ts',
    from: `    this.#events.push(event);
    this.#leftToTransaction = false;`,
    to: '    this.#events.push(event);',
    breaks: 'what is recorded beside a transaction under way is not in its row',
    tests: ['test/saga/open-row.test.ts'],
  },
  {
    name: 'saga/run/only-called-with-more',
    file: 'src/saga/run/open-row.ts',
    from: '    return !this.#besides && !this.#guarded && !this.#closed && this.#start === null && this.#children.length === 0;',
    to: '    return !this.#besides && !this.#guarded && !this.#closed && this.#start === null;',
    breaks: 'a transaction begins ahead of what must be recorded first',
    tests: ['test/saga/open-row.test.ts'],
  },
  {
    name: 'saga/run/only-called-of-a-start',
    file: 'src/saga/run/open-row.ts',
    from: '    return !this.#besides && !this.#guarded && !this.#closed && this.#start === null && this.#children.length === 0;',
    to: '    return !this.#besides && !this.#guarded && !this.#closed && this.#children.length === 0;',
    breaks: 'a transaction begins of a run that is not written yet',
    tests: ['test/saga/open-row.test.ts'],
  },
  {
    name: 'saga/run/row-of-a-transaction-twice',
    file: 'src/saga/run/open-row.ts',
    from: '    if (this.#leftToTransaction) this.#events = [];',
    to: '',
    breaks: 'I10: what a transaction wrote is written once more',
    tests: ['test/saga/open-row.test.ts'],
  },
  {
    name: 'saga/run/gauge/full-and-goes-on',
    file: 'src/saga/run/journal-gauge.ts',
    from: '    return this.#rowBytes >= FULL_ROW_BYTES;',
    to: '    return this.#rowBytes < 0;',
    breaks: 'I18: one row of the journal has no limit',
    tests: ['test/saga/journal-gauge.test.ts'],
  },
  {
    name: 'saga/run/gauge/transactions-weigh-nothing',
    file: 'src/saga/run/journal-gauge.ts',
    from: '    this.#bytes += bytesOf(output) + ROW_OVERHEAD_BYTES;',
    to: '    this.#bytes += ROW_OVERHEAD_BYTES;',
    breaks: 'I18: outputs of transactions do not count',
    tests: ['test/saga/journal-gauge.test.ts'],
  },
  {
    name: 'saga/run/gauge/stuck-for-size-is-not-full',
    file: 'src/saga/run/journal-gauge.ts',
    from: `    if (this.#state.stuck?.why === 'journal full') return 100;`,
    to: '',
    breaks: 'a journal that is full is not shown as full',
    tests: ['test/saga/journal-gauge.test.ts'],
  },
  {
    name: 'saga/run/gauge/growth-told-once-more',
    file: 'src/saga/run/journal-gauge.ts',
    from: `    this.#growthStored = growth;
    const kept`,
    to: '    const kept',
    breaks: 'each commit updates the run for nothing',
    tests: ['test/saga/journal-gauge.test.ts'],
  },
  {
    name: 'saga/run/gauge/taken-signals-count',
    file: 'src/saga/run/journal-gauge.ts',
    from: '  if (kept.count === 0) return stored.count > 0;',
    to: '  if (kept.count === 0) return stored.count > 1_000;',
    breaks: 'I18: signals that were taken in still count, and none is let in',
    tests: ['test/saga/journal-gauge.test.ts'],
  },
  {
    name: 'saga/run/gauge/folded-row-of-more',
    file: 'src/saga/run/journal-gauge.ts',
    from: '      this.#fold(n, onlyThese ? this.#foldable : [...this.#foldable, null], this.#rowBytes);',
    to: '      this.#fold(n, this.#foldable, this.#rowBytes);',
    breaks: 'I10: a row is deleted that says more than attempts',
    tests: ['test/saga/journal-gauge.test.ts'],
  },
  {
    name: 'saga/run/refused-keeps-the-number',
    file: 'src/saga/run/run.ts',
    from: `    this.stored = this.#before.stored;
    this.n = this.#before.n;`,
    to: '    this.stored = this.#before.stored;',
    breaks: 'the journal of a run whose commit was refused has a gap',
    tests: ['test/saga/run-in-memory.test.ts'],
  },
  {
    name: 'saga/run/refused-keeps-the-status',
    file: 'src/saga/run/run.ts',
    from: `    this.status = this.#before.status;
    this.stored = this.#before.stored;`,
    to: '    this.stored = this.#before.stored;',
    breaks: 'a run whose commit was refused is said to have what it has not',
    tests: ['test/saga/run-in-memory.test.ts'],
  },
  {
    name: 'saga/run/idle-in-a-transaction',
    file: 'src/saga/run/run.ts',
    from: `      this.runEvents.length === 0 &&
      this.stage !== 'transacting'`,
    to: '      this.runEvents.length === 0',
    breaks: 'a run leaves in the middle of a transaction',
    tests: ['test/saga/run-in-memory.test.ts'],
  },
  {
    name: 'saga/run/idle-with-something-to-tell',
    file: 'src/saga/run/run.ts',
    from: `      this.intents.length === 0 &&
      this.runEvents.length === 0 &&`,
    to: '      this.intents.length === 0 &&',
    breaks: 'a run leaves before it was told what came',
    tests: ['test/saga/run-in-memory.test.ts'],
  },
  {
    name: 'saga/run/closed-row-takes-more',
    file: 'src/saga/run/run.ts',
    from: '    return this.row.isClosed || this.gauge.rowIsFull || this.mismatch !== null;',
    to: '    return this.gauge.rowIsFull || this.mismatch !== null;',
    breaks: 'what must come after a row is told before it',
    tests: ['test/saga/run-in-memory.test.ts'],
  },
  {
    name: 'saga/run/mismatch-takes-more',
    file: 'src/saga/run/run.ts',
    from: '    return this.row.isClosed || this.gauge.rowIsFull || this.mismatch !== null;',
    to: '    return this.row.isClosed || this.gauge.rowIsFull;',
    breaks: 'a run is gone on with by code that it does not fit',
    tests: ['test/saga/run-in-memory.test.ts'],
  },
  {
    name: 'saga/run/child-id/of-the-parent-alone',
    file: 'src/saga/protocol/child-id.ts',
    from: `update(\`\${parent}:\${call}\`)`,
    to: `update(\`\${parent}:\`)`,
    breaks: 'two children of a run have one id',
    tests: ['test/saga/wire.test.ts'],
  },
  {
    name: 'saga/run/child-id/random',
    file: 'src/saga/protocol/child-id.ts',
    from: `createHash('sha256').update(\`\${parent}:\${call}\`)`,
    to: `createHash('sha256').update(\`\${parent}:\${call}:\${Math.random()}\`)`,
    breaks: 'after a restore a parent starts its child anew under another key',
    tests: ['test/saga/wire.test.ts'],
  },
];
