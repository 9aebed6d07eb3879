/**
 * Mistakes in the stores in memory, such as SQL could have them: fences, locks, and what commits together.
 */
import type { Plant } from '../../mutants/mutant.ts';

const LEASES = 'src/testing/saga/memory-leases.ts';
const CLAIMS = 'src/testing/saga/memory-claims.ts';
const COMMITS = 'src/testing/saga/memory-commits.ts';
const INBOX = 'src/testing/messages/memory-inbox.ts';
const CALLS = 'src/testing/messages/memory-calls.ts';

export const IN_MEMORY: readonly Plant[] = [
  {
    name: 'store/commit-under-any-lease',
    file: LEASES,
    from: 'if (worker !== undefined && worker.leaseUntil > this.#clock.now()) return;',
    to: 'if (worker !== undefined) return;',
    breaks: 'I11: a commit is made, and a lease prolonged, when the lease is over',
  },
  {
    name: 'store/commit-without-a-worker-row',
    file: LEASES,
    from: 'if (worker !== undefined && worker.leaseUntil > this.#clock.now()) return;',
    to: 'if (worker === undefined || worker.leaseUntil > this.#clock.now()) return;',
    breaks: 'I11: a worker that was taken over commits',
  },
  {
    name: 'store/addressed-runs-of-others',
    file: CLAIMS,
    from: 'const free = addressed.filter((run) => run.worker === null).slice(0, limit);',
    to: 'const free = addressed.filter((run) => run.worker !== workerId).slice(0, limit);',
    breaks: 'I11: a run that has messages is in two workers at once',
  },
  {
    name: 'store/revoked-run-goes-on',
    file: COMMITS,
    from: 'if (runs.some((run) => isRevoked(run, tables))) throw new RevokedError();',
    to: '',
    breaks: 'I19: a run ends, or begins its pivot, although a cancellation was accepted',
  },
  {
    name: 'store/taken-over-and-not-due',
    file: LEASES,
    from: 'writes.run({ ...run, worker: null, lost: run.lost + lost, wakeAt: this.#clock.now() });',
    to: 'writes.run({ ...run, worker: null, lost: run.lost + lost });',
    breaks: 'I17: runs of a lost worker are never taken up again',
  },
  {
    name: 'store/effect-without-its-row',
    file: COMMITS,
    from: "if (open) endTransaction?.(tx, 'rollback');",
    to: "if (open) endTransaction?.(tx, 'commit');",
    breaks: 'I2: what a transaction step has done stays, although its transaction was rolled back',
  },
  {
    name: 'inbox/mark-not-looked-at',
    file: INBOX,
    from: 'if (this.#marks.has(messageId)) return false;',
    to: '',
    breaks: 'I4: a message that comes twice is handled twice',
  },
  {
    name: 'inbox/mark-before-the-effect',
    file: INBOX,
    from: 'work.onCommit(() => this.#marks.set(messageId, this.#database.now()));',
    to: 'this.#marks.set(messageId, this.#database.now());',
    breaks: 'I1: the mark stays when the effect is rolled back, and the message has no effect',
  },
  {
    name: 'inbox/line-not-looked-at',
    file: INBOX,
    from: 'return counted(free && follows && (await this.markIn(work, String(id))) ? 1 : 0);',
    to: 'return counted(free && (follows || predecessorId !== null) && (await this.markIn(work, String(id))) ? 1 : 0);',
    breaks: 'I3: a message is handled before the one of its key that was committed before it',
  },
  {
    name: 'calls/record-before-the-commit',
    file: CALLS,
    from: 'work.onCommit(() => {\n      if (row === null) this.#rows.delete(key);',
    to: 'queueMicrotask(() => {\n      if (row === null) this.#rows.delete(key);',
    breaks: 'I2: a participant answers that it has done what was rolled back',
  },
  {
    name: 'calls/no-tombstone',
    file: CALLS,
    from: "const state = role === 'command' ? 'done' : withoutRow;",
    to: "const state = role === 'command' ? 'done' : withoutRow === 'tombstone' ? null : withoutRow;",
    breaks: 'I8: a command that comes after its compensation is carried out',
  },
];
