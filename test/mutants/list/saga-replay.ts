/**
 * Mistakes in who waits for the end of a run, and in what a replay takes for the same.
 */
import type { Mutant } from '../mutant.ts';

const WATCH = 'src/saga/client/result-watch.ts';
const REPLAY = 'src/saga/replay/replay.ts';
const FLOW = 'src/saga/replay/flow.ts';
const CHECK = 'src/saga/replay/check-replay.ts';
const WAITED = 'test/saga/result-watch.test.ts';
const REPLAYED = 'test/saga/replay.test.ts';
const TOLD = 'test/saga/flow.test.ts';
const CHECKED = 'test/saga/check-replay.test.ts';

export const SAGA_REPLAY: readonly Mutant[] = [
  {
    name: 'saga/result/stuck-is-no-end',
    file: WATCH,
    from: " || run.status === 'compensated' || run.status === 'stuck')",
    to: " || run.status === 'compensated')",
    breaks: 'I17: who waits for a run that needs a person waits for ever',
    tests: [WAITED],
  },
  {
    name: 'saga/result/away-is-an-end',
    file: WATCH,
    from: 'if (!passesByItself(error)) for (const id of ids)',
    to: 'for (const id of ids)',
    breaks: 'I16: a database that is away for a moment ends the wait for a run that goes on',
    tests: [WAITED],
  },
  {
    name: 'saga/result/trouble-in-silence',
    file: WATCH,
    from: 'if (!passesByItself(error)) for (const id of ids)',
    to: 'if (passesByItself(error)) for (const id of ids)',
    breaks: 'I17: who may not read waits for ever',
    tests: [WAITED],
  },
  {
    name: 'saga/result/one-gives-up-for-all',
    file: WATCH,
    from: 'if (entry.waiters.length === 0) this.#waited.delete(id);',
    to: 'this.#waited.delete(id);',
    breaks: 'I17: who waits beside somebody that gave up waits for ever',
    tests: [WAITED],
  },
  {
    name: 'saga/result/told-too-early',
    file: WATCH,
    from: "if (run.status === 'completed' || run.status === 'compensated'",
    to: "if (run.status === 'completed' || run.status === 'compensating' || run.status === 'compensated'",
    breaks: 'who waits is told of the end before what was done is compensated',
    tests: [WAITED],
  },
  {
    name: 'saga/result/here-for-ever',
    file: WATCH,
    from: '(this.#here?.(id) === true ? [] : [id])',
    to: '(this.#here !== undefined ? [] : [id])',
    breaks: 'I17: who waits for a run that another worker has taken over waits for ever',
    tests: [WAITED],
  },
  {
    name: 'saga/replay/inputs-not-compared',
    file: REPLAY,
    from: 'if (isDeepStrictEqual(input, recorded.input)) return null;\n',
    to: 'if (isDeepStrictEqual(input, recorded.input) || typeof input === typeof recorded.input) return null;\n',
    breaks: 'I10: code that calls with another input goes on with what came of the first one',
    tests: [CHECKED],
  },
  {
    name: 'saga/replay/kinds-not-compared',
    file: REPLAY,
    from: 'call.id !== recorded.call || call.kind !== recorded.kind || call.step !== recorded.step',
    to: 'call.id !== recorded.call || call.step !== recorded.step',
    breaks: 'I10: a command that has become a step goes on with its reply',
    tests: [TOLD],
  },
  {
    name: 'saga/replay/haste-counts',
    file: REPLAY,
    from: "    if (quick.fit.kind === 'fits') return quick;",
    to: '    return quick;',
    breaks: 'I22: a run whose code puts off what it does is stuck',
    tests: [REPLAYED],
  },
  {
    name: 'saga/replay/values-shared',
    file: REPLAY,
    from: "haste && event.t === 'done' ? copyOf(event) : event",
    to: 'event',
    breaks: 'I10: what the code does to a value is seen by its second replay',
    tests: [REPLAYED],
  },
  {
    name: 'saga/replay/code-behind-undoing',
    file: REPLAY,
    from: "if (event.t === 'undoing') return { fit: { kind: 'fits', calls: [], ending }, flow };",
    to: '',
    breaks: 'a run that is being compensated calls its next step',
    tests: [TOLD],
  },
  {
    name: 'saga/flow/call-out-of-turn',
    file: FLOW,
    from: '    if (!this.#open) {\n      this.#breaks(`called',
    to: '    if (this.#ending !== null) {\n      this.#breaks(`called',
    breaks: 'I10: code that awaits what is no step is replayed in another order',
    tests: [TOLD],
  },
  {
    name: 'saga/flow/waits-for-no-step',
    file: FLOW,
    from: 'this.#violation === null && this.#ending === null && this.#pending === 0',
    to: 'this.#violation === null && this.#ending === null && this.#pending < 0',
    breaks: 'I17: a run that awaits what is no step waits for ever in silence',
    tests: [TOLD],
  },
  {
    name: 'saga/flow/told-twice',
    file: FLOW,
    from: '    this.#made.set(callId, null);\n',
    to: '',
    breaks: 'I10: a call that was told its end is told another one',
    tests: [TOLD],
  },
  {
    name: 'saga/flow/same-call-twice',
    file: FLOW,
    from: 'if (this.#made.has(asked.id)) return refusedCall(repeatedCall(this.#options.saga, asked));',
    to: '',
    breaks: 'I10: the second call of a name takes the place of the first one',
    tests: [TOLD],
  },
  {
    name: 'saga/flow/strays-lost',
    file: FLOW,
    from: "if (this.#ending?.kind === 'returned' && strays !== null && strays.size > 0)",
    to: "if (this.#ending?.kind === 'returned' && strays !== null && strays.size > 9)",
    breaks: 'a run is completed although a branch of its code has failed',
    tests: [REPLAYED],
  },
  {
    name: 'saga/flow/causes-not-looked-into',
    file: FLOW,
    from: 'const within: readonly unknown[] = [cause, ...',
    to: 'const within: readonly unknown[] = [...',
    breaks: 'a failure that the code wraps is taken for one of its own',
    tests: [TOLD],
  },
  {
    name: 'saga/check/undefined-step',
    file: CHECK,
    from: 'if (step?.kind !== call.kind || breaksContract(call, step)) return call;',
    to: 'if (step === undefined) continue;\n    if (breaksContract(call, step)) return call;',
    breaks: 'I23: a deployment takes a compensation away, and the check before it says nothing',
    tests: [CHECKED],
  },
  {
    name: 'saga/check/contract',
    file: CHECK,
    from: 'if (step?.kind !== call.kind || breaksContract(call, step)) return call;',
    to: 'if (step?.kind !== call.kind) return call;',
    breaks: 'I23: a deployment takes a compensation away, and the check before it says nothing',
    tests: [CHECKED],
  },
  {
    name: 'saga/check/in-doubt',
    file: CHECK,
    from: "if (call.outcome !== 'open' && !mayHaveHappened(call)) continue;",
    to: "if (call.outcome !== 'open' && call.outcome !== 'done') continue;",
    breaks: 'I8: what may have happened and could not be compensated passes the check',
    tests: [CHECKED],
  },
];
