/**
 * Mistakes in commits whose answer is lost, and in transaction steps, of Holdfast's own client and of a runner: whether they happened, and
 * what is done about it.
 */
import type { Mutant } from '../mutant.ts';

const STORE = 'src/saga/store/postgres';
const GROUP = `${STORE}/group-commit.ts`;
const DOUBT = `${STORE}/step-in-doubt.ts`;
const STEP = `${STORE}/transaction-step.ts`;
const RUNNER = `${STORE}/runner-step.ts`;
const CONNECTION = 'src/postgres/runner-connection.ts';
const CUT = 'test/saga/commit-cut.test.ts';
const KEPT = 'test/saga/postgres-store.test.ts';
const RUN = 'test/saga/runner-step.test.ts';
const BROKEN = 'test/saga/worker-connections.test.ts';
const SILENT = 'test/saga/worker-silence.test.ts';
const UNHEARD = 'src/postgres/unheard-backend.ts';
const WHY = 'test/postgres/unheard-backend.test.ts';

export const SAGA_DOUBT: readonly Mutant[] = [
  {
    name: 'saga/doubt/silence-counts',
    file: STEP,
    from: "this.#isBroken = ended === 'broken' || ended === 'silent';",
    to: "this.#isBroken = ended === 'broken';",
    breaks:
      'I16: a connection that fell silent under the handler uses up an attempt, and an innocent run is compensated',
    tests: [SILENT],
  },
  {
    name: 'saga/doubt/crashes-in-commit-without-end',
    file: 'src/saga/engine/transaction-attempt.ts',
    from: "if (error instanceof StepPrecludedError) return { ...failure, uncounted: 'database', broken: true };",
    to: '',
    breaks: 'I13: a step whose COMMIT crashes its server process is tried for ever',
    tests: [BROKEN],
  },
  {
    name: 'saga/doubt/waits-for-us-and-hangs',
    file: UNHEARD,
    from: "state.startsWith('idle') || waitEvent",
    to: 'waitEvent',
    breaks: 'I16: a statement that never arrived is taken for one that hangs',
    tests: [WHY],
  },
  {
    name: 'saga/doubt/gone-and-hangs',
    file: UNHEARD,
    from: "if (!isThere) return 'silent';",
    to: "if (!isThere) return 'hangs';",
    breaks: 'I16: a step whose server process is gone unheard uses up an attempt',
    tests: [WHY],
  },
  {
    name: 'saga/doubt/number-of-a-pooler',
    file: UNHEARD,
    from: "  if (!isNumbered) return 'unknown';\n",
    to: '',
    breaks: 'I6: behind a pooler no step that hangs in its statement ever fails',
    tests: [WHY],
  },
  {
    name: 'saga/runner/deaf-and-ended',
    file: RUNNER,
    from: "if (this.#ending !== null) return (await this.#ending) === 'silent';",
    to: 'if (this.#ending !== null) return false;',
    breaks: 'I16: a runner whose statements do not arrive any more uses up an attempt',
    tests: [SILENT],
  },
  {
    name: 'saga/runner/silent-without-end',
    file: RUNNER,
    from: "if (this.#isGivenUp && this.#ending !== null && (this.#met !== null || (await this.#ending) === 'silent'))",
    to: 'if (this.#isGivenUp && this.#recorded !== null)',
    breaks: 'I13: a runner whose connection falls silent each time is tried for ever',
    tests: [SILENT],
  },
  {
    name: 'saga/doubt/broken-connection-counts',
    file: STEP,
    from: 'if (!this.#isLent || !this.#isBroken || met instanceof StepBrokenError) throw met;',
    to: 'if (!(met instanceof TypeError)) throw met;',
    breaks: 'I16: a connection that broke under the handler uses up an attempt, and an innocent run is compensated',
    tests: [BROKEN],
  },
  {
    name: 'saga/doubt/ended-by-us-is-broken',
    file: STEP,
    from: "this.#isBroken = ended === 'broken' || ended === 'silent';",
    to: "this.#isBroken = ended !== 'rolled back';",
    breaks: 'I6: a step that hangs in its statement is no failure when its time is up',
    tests: [BROKEN],
  },
  {
    name: 'saga/runner/broken-connection-counts',
    file: RUNNER,
    from: 'if (await this.#isBroken(execute, opened)) throw',
    to: 'if ((await this.#isBroken(execute, opened)) && isDone) throw',
    breaks: 'I16: a connection that broke under the handler of a runner uses up an attempt',
    tests: [RUN],
  },
  {
    name: 'saga/runner/closed-is-broken',
    file: CONNECTION,
    from: "return row === undefined || (xid === undefined ? row['open'] === 'yes' : row['xid'] === xid);",
    to: 'return true;',
    breaks: 'I16: a handler that ends its transaction by the runner is tried six times, and stuck',
    tests: [RUN],
  },
  {
    name: 'saga/runner/waits-for-no-answer',
    file: CONNECTION,
    from: 'return this.#hasLeft ? this.#left : Promise.race([execute(sql, parameters), this.#left]);',
    to: 'return execute(sql, parameters);',
    breaks: 'I17: a runner that has lost its connection is waited for until time is up',
    tests: [RUN],
  },
  {
    name: 'saga/runner/ended-by-us-is-broken',
    file: RUNNER,
    from: "if (this.#ending !== null) return (await this.#ending) === 'silent';",
    to: '',
    breaks: 'I6: a step of a runner that hangs in its statement is no failure when its time is up',
    tests: [RUN],
  },
  {
    name: 'saga/doubt/silence-is-a-refusal',
    file: GROUP,
    from: "        if (classifySqlError(error) === 'connection') inDoubt = true;\n",
    to: '',
    breaks: 'I16: a commit that happened, and whose answer was lost, is refused the second time',
    tests: [CUT],
  },
  {
    name: 'saga/doubt/any-row-is-ours',
    file: GROUP,
    from: ' AND j.events::text = u.events OFFSET 0',
    to: ' OFFSET 0',
    breaks: 'I10: a commit that never happened is taken for done, because another one has its place',
    tests: [CUT],
  },
  {
    name: 'saga/doubt/one-row-for-all',
    file: GROUP,
    from: '[0]?.n === rows.length;',
    to: '[0]?.n !== 0;',
    breaks: 'I10: one run of a group that stands there speaks for all',
    tests: [CUT],
  },
  {
    name: 'saga/doubt/refused-together',
    file: GROUP,
    from: "  return classifySqlError(error) === 'data' ||",
    to: "  return classifySqlError(error) === 'nothing' ||",
    breaks: 'I16: one run whose data the server refuses keeps all others from going on',
    tests: [KEPT],
  },
  {
    name: 'saga/doubt/revoked-with-the-rest',
    file: GROUP,
    from: 'if (rest.length > 0 && rest.length < runs.length) return this.#commitApart(workerId, rest, failures);',
    to: 'if (rest.length > 0 && rest.length < runs.length) return;',
    breaks: 'I10: what was committed beside a run that was cancelled is not, and taken for done',
    tests: [KEPT],
  },
  {
    name: 'saga/doubt/lost-lease-is-passing',
    file: GROUP,
    from: "return sqlStateOf(error) === 'HF001' ? leaseLost(error) : translateSqlError(error);",
    to: 'return translateSqlError(error);',
    breaks: 'I11: a worker does not hear that its lease is lost',
    tests: [CUT],
  },
  {
    name: 'saga/doubt/any-row-is-the-step',
    file: DOUBT,
    from: 'if (found === commit.journal.events) return;',
    to: 'if (found !== null && found !== EMPTY) return;',
    breaks: 'I10: a step that never happened is taken for done, because another worker has gone on',
    tests: [CUT],
  },
  {
    name: 'saga/doubt/place-under-any-lease',
    file: DOUBT,
    from: 'AND r.id = $2 AND w.lease_until > clock_timestamp() FOR KEY SHARE OF w',
    to: 'AND r.id = $2 FOR KEY SHARE OF w',
    breaks: 'I11: a row of the journal is taken by who has lost the run',
    tests: [CUT],
  },
  {
    name: 'saga/doubt/looked-and-not-taken',
    file: DOUBT,
    from: "      await client.query('COMMIT');\n      const { rows }",
    to: "      await client.query('ROLLBACK');\n      const { rows }",
    breaks: 'I8: a step that comes late commits after it was given up',
    tests: [CUT],
  },
  {
    name: 'saga/doubt/precluded-is-done',
    file: DOUBT,
    from: '  throw new StepPrecludedError();',
    to: '  return;',
    breaks: 'I10: a step whose COMMIT was lost is taken for done',
    tests: [CUT],
  },
  {
    name: 'saga/step/silence-is-a-rollback',
    file: STEP,
    from: "if (classifySqlError(error) === 'connection') this.doubt = commit;\n      else throw",
    to: 'throw',
    breaks: 'I8: a step whose COMMIT was answered by nobody is tried again, and has its effect twice',
    tests: [CUT],
  },
  {
    name: 'saga/step/client-kept',
    file: STEP,
    from: '      this.#lent.takeBack();\n    }\n    const failure',
    to: '    }\n    const failure',
    breaks: 'I8: a handler that is over writes into the transaction of another one',
    tests: [CUT],
  },
  {
    name: 'saga/runner/runs-twice',
    file: RUNNER,
    from: '      if (this.#isOpened) throw runTwice();\n',
    to: '',
    breaks: 'I4: a runner with retries of its own has the effect of a step twice',
    tests: [RUN],
  },
  {
    name: 'saga/runner/resolved-is-committed',
    file: RUNNER,
    from: 'if (refusal !== null || !(await this.#stands(recorded)))',
    to: 'if (refusal !== null)',
    breaks: 'I10: a COMMIT that the server made a ROLLBACK of is taken for done',
    tests: [RUN],
  },
  {
    name: 'saga/runner/rejected-is-rolled-back',
    file: RUNNER,
    from: 'if (recorded === null) throw await this.#whyNot(refusal);',
    to: 'if (recorded === null || refusal !== null) throw await this.#whyNot(refusal);',
    breaks: 'I8: a hook that fails behind COMMIT has the effect of a step twice',
    tests: [RUN],
  },
  {
    name: 'saga/runner/no-transaction',
    file: RUNNER,
    from: "    if (row?.['xid'] !== xid) {\n",
    to: '    if (row === undefined) {\n',
    breaks: 'I10: each statement of a step commits by itself',
    tests: [RUN],
  },
  {
    name: 'saga/runner/another-transaction',
    file: RUNNER,
    from: "    if (row?.['xid'] !== xid) throw endedByStep();\n",
    to: '',
    breaks: 'I10: the effect of a step commits without its record',
    tests: [RUN],
  },
  {
    name: 'saga/runner/another-database',
    file: RUNNER,
    from: "    if (row?.['mine'] === 'yes') return;\n",
    to: '    if (row !== undefined) return;\n',
    breaks: 'I10: the effect of a step is in one database, and its record in another one',
    tests: [RUN],
  },
];
