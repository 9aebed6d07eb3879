/**
 * Mistakes in workers and participants beyond those of `test/mutants`: what their rooms have in common, over more than one file.
 */
import type { Plant } from '../../mutants/mutant.ts';

const ANSWER = 'src/saga/participant/answer-message.ts';
const SEEN = 'src/saga/engine/seen-messages.ts';
const HANDED = 'src/saga/engine/handed-replies.ts';
const CORE = 'src/saga/worker/worker-core.ts';
const SESSION = 'src/saga/worker/lease-session.ts';

export const IN_SAGAS: readonly Plant[] = [
  {
    name: 'participant/refusal-not-recorded',
    file: ANSWER,
    from: "return { answer, outcome: 'rejected', change: { state: 'rejected', answer } };",
    to: "return { answer, outcome: 'rejected', change: { state: 'withdrawn' } };",
    breaks: 'I10: a command that was refused is carried out when it comes again',
  },
  {
    name: 'participant/command-again',
    file: ANSWER,
    from: "if (entered.finding === 'known') return unchanged(",
    to: "if (entered.finding === 'known' && entered.row.state !== 'done') return unchanged(",
    breaks: 'I4: a command that comes again is carried out again',
  },
  {
    name: 'worker/messages-told-twice',
    file: SEEN,
    from: 'return [...this.#ids.keys()];',
    to: 'return [];',
    breaks: 'I12: a run message is told twice',
  },
  {
    name: 'worker/reply-counts-when-handed-in',
    file: HANDED,
    from: 'return reply.recorded.finally(() => this.#drop(reply));',
    to: 'void reply.recorded.finally(() => this.#drop(reply));\n    return Promise.resolve(true);',
    breaks: 'I21: a reply is acknowledged before what came of it is durable',
  },
  {
    name: 'worker/lease-not-renewed',
    file: CORE,
    from: '} else await this.#session.renew();',
    to: '}',
    breaks: 'I17: a worker loses its lease again and again',
  },
  {
    name: 'worker/no-takeover',
    file: CORE,
    from: 'const taken = await store.takeOver();',
    to: 'const taken = { workers: 0, runs: 0 };',
    breaks: 'I17: nobody takes over from a worker that is lost',
  },
  {
    name: 'worker/orphans-kept',
    file: SESSION,
    from: 'const found = collected + (await this.#orphans.look());',
    to: 'const found = collected;',
    breaks: 'I17: a run whose claim was not answered is held by a worker that does not know of it',
  },
  {
    name: 'worker/stopped-and-holds',
    file: CORE,
    from: 'store.retire(id, lost).catch(',
    to: 'Promise.resolve().catch(',
    breaks: 'I24: a worker that was stopped holds its runs until its lease is over',
  },
  {
    name: 'worker/timers-early',
    file: 'src/saga/decide/due.ts',
    from: 'const now = Math.min(context.now, run.openRow(context.now), run.messagesKnownAt);',
    to: 'const now = Math.min(context.now, run.openRow(context.now), run.messagesKnownAt) + 100;',
    breaks: 'I12: timers are told early',
  },
  {
    name: 'worker/lost-attempt-still-due',
    file: 'src/saga/decide/recover.ts',
    from: 'call.retryAt = null;\n    // A transaction that',
    to: '// A transaction that',
    breaks: 'I10: an attempt that was lost is made at its old time, and once more for its loss',
  },
  {
    name: 'saga/contract-not-recorded',
    file: 'src/saga/journal/event-text.ts',
    from: 'if (undoable === true) text',
    to: 'if (undoable === undefined) text',
    breaks: 'I23: nobody knows any more that the call was declared with what compensates it',
  },
];
