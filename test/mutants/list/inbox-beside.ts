/**
 * Mistakes beside the way of a message: windows, idempotency keys, what is said of the broker, the lock under which a message is parked.
 */
import type { Mutant } from '../mutant.ts';

const WINDOW = 'src/inbox/window/window.ts';
const IDEMPOTENCY = 'src/inbox/idempotency/idempotency.ts';
const FINGERPRINT = 'src/inbox/idempotency/fingerprint.ts';
const MONITOR = 'src/inbox/delivery/broker-monitor.ts';
const window = ['test/inbox/window.test.ts'];
const idempotency = ['test/inbox/idempotency.test.ts'];
const health = ['test/inbox/broker-health.test.ts'];

export const INBOX_BESIDE: readonly Mutant[] = [
  {
    name: 'inbox/window/away-is-empty',
    file: 'src/inbox/delivery/attempt.ts',
    from: `  } catch (error) {
    return { kind: 'unavailable', error };
  }
  const outcome = await inTransaction(`,
    to: `  } catch (error) {
    void error;
  }
  const outcome = await inTransaction(`,
    breaks: 'I4: while the window cannot be asked, every duplicate has a second effect',
    tests: ['test/inbox/kinds.test.ts'],
  },
  {
    name: 'inbox/window/for-ever',
    file: WINDOW,
    from: `return markedMs !== undefined && clock.monotonic() - markedMs < ttlMs;`,
    to: `return markedMs !== undefined;`,
    breaks: 'an id is kept for longer than it is said',
    tests: window,
  },
  {
    name: 'inbox/window/consumers-share-it',
    file: WINDOW,
    from: '=> `${consumer}\\0${messageId}`;',
    to: '=> messageId + consumer.slice(0, 0);',
    breaks: 'I1: what one consumer has handled is a duplicate for all others',
    tests: window,
  },
  {
    name: 'inbox/window/young-ones-go-first',
    file: WINDOW,
    from: `      marks.delete(key);
`,
    to: '',
    breaks: 'I4: an id that was just marked again is the first to be forgotten',
    tests: window,
  },
  {
    name: 'inbox/parking/line-without-the-lock',
    file: 'src/inbox/delivery/parking.ts',
    from: `    await execute(PATIENT_LOCK_SQL, [keyLock(context.name, incoming.key)]);
`,
    to: `    void [PATIENT_LOCK_SQL, keyLock];
`,
    breaks: 'I3: a later message of the key passes one that is being parked',
    tests: ['test/inbox/parking-lock.test.ts'],
  },
  {
    name: 'inbox/broker/said-each-time',
    file: MONITOR,
    from: `Math.min(SAY_AGAIN_CAP_MS, before.gapMs * 2)`,
    to: `Math.min(SAY_AGAIN_CAP_MS, before.gapMs)`,
    breaks: 'an outage fills the log',
    tests: health,
  },
  {
    name: 'inbox/broker/said-once-for-ever',
    file: MONITOR,
    from: `    for (const what of this.#said.keys()) if (!present.includes(what)) this.#said.delete(what);
`,
    to: `    void present;
`,
    breaks: 'I17: the second outage within ten minutes is not said',
    tests: health,
  },
  {
    name: 'inbox/broker/up-while-away',
    file: MONITOR,
    from: `    this.#gauges.up.set({ consumer: name }, 0);
`,
    to: `    void name;
`,
    breaks: 'I17: a consumer that receives nothing is up for those who watch it',
    tests: health,
  },
  {
    name: 'inbox/broker/queue-forgotten-while-away',
    file: MONITOR,
    from: `this.#health = { ...this.#health, reachable: false, trouble };`,
    to: `this.#health = { queue: null, reachable: false, trouble };`,
    breaks: 'what waited when the broker went is not told',
    tests: health,
  },
  {
    name: 'inbox/broker/figures-of-a-stopped-one',
    file: MONITOR,
    from: `    if (this.#health !== UNKNOWN) clearGauges(this.#gauges, this.#options.name);
`,
    to: '',
    breaks: 'a consumer that is gone is up for those who watch it',
    tests: health,
  },
  {
    name: 'inbox/broker/back-in-silence',
    file: MONITOR,
    from: `if (this.#health.reachable === false) log.info(`,
    to: `if (this.#health.reachable === null) log.info(`,
    breaks: 'that an outage is over is not said',
    tests: health,
  },
  {
    name: 'inbox/idempotency/another-request',
    file: IDEMPOTENCY,
    from: `isSameRequest(keeping, stored.fingerprint, fingerprint)`,
    to: `isSameRequest(keeping, stored.fingerprint, stored.fingerprint)`,
    breaks: 'another request under the same key gets the answer of the first',
    tests: idempotency,
  },
  {
    name: 'inbox/idempotency/key-of-a-failure',
    file: IDEMPOTENCY,
    from: `    await execute(\`DELETE FROM \${table} WHERE key = $1::text\`, [key]).catch(() => {});
`,
    to: '',
    breaks: 'a request that failed leaves its key behind',
    tests: idempotency,
  },
  {
    name: 'inbox/idempotency/order-of-keys',
    file: IDEMPOTENCY,
    from: `coalesce(answer_text, answer::text) AS answer`,
    to: `coalesce(answer::text, answer_text) AS answer`,
    breaks: 'the second answer is another text than the first',
    tests: idempotency,
  },
  {
    name: 'inbox/idempotency/seen-in-a-snapshot',
    file: IDEMPOTENCY,
    from: `if (sqlStateOf(error) !== '40001') throw error;`,
    to: `if (sqlStateOf(error) === '40001') throw error;`,
    breaks: 'two requests at once under REPEATABLE READ: one fails although its answer is there',
    tests: idempotency,
  },
  {
    name: 'inbox/idempotency/transaction-left-failed',
    file: IDEMPOTENCY,
    from: `    await execute('ROLLBACK TO SAVEPOINT holdfast_key', []);
`,
    to: '',
    breaks: 'whoever gets the stored answer can write nothing any more',
    tests: idempotency,
  },
  {
    name: 'inbox/idempotency/undefined-is-no-answer',
    file: IDEMPOTENCY,
    from: `encodePayload((await fn()) ?? null, {`,
    to: `encodePayload(await fn(), {`,
    breaks: 'a command that answers with nothing cannot be given a key',
    tests: idempotency,
  },
  {
    name: 'inbox/fingerprint/order-of-properties',
    file: FINGERPRINT,
    from: `Object.fromEntries(entries.toSorted(([a], [b]) => byCodeUnits(a, b)));`,
    to: `Object.fromEntries(entries);`,
    breaks: 'the same request with its properties in another order is another one',
    tests: idempotency,
  },
  {
    name: 'inbox/fingerprint/as-json-has-it',
    file: FINGERPRINT,
    from: `return Number.isFinite(value) ? JSON.stringify(value) : String(value);`,
    to: `return JSON.stringify(value);`,
    breaks: 'different requests have one fingerprint: NaN and null',
    tests: idempotency,
  },
  {
    name: 'inbox/fingerprint/big-numbers-are-texts',
    file: FINGERPRINT,
    from: 'return `${value}n`;',
    to: 'return `"${value}n"`;',
    breaks: 'different requests have one fingerprint: a BigInt and a text',
    tests: idempotency,
  },
  {
    name: 'inbox/fingerprint/shows-nothing',
    file: FINGERPRINT,
    from: `if (entries.length === 0 && !isPlain(value))`,
    to: `if (entries.length === 0 && value instanceof Promise)`,
    breaks: 'all requests with URLSearchParams have one fingerprint',
    tests: idempotency,
  },
  {
    name: 'relay/heads/follows-itself',
    file: 'src/relay/subscription/key-heads.ts',
    from: `if (before?.id === message.id || (again`,
    to: `if ((again`,
    breaks: 'I17: an ordered consumer waits for a message that names itself as its predecessor',
    tests: ['test/relay/key-heads.test.ts'],
  },
  {
    name: 'relay/heads/follows-who-names-it',
    file: 'src/relay/subscription/key-heads.ts',
    from: `(again && before !== null && isLater(before.at, message.at))`,
    to: `(again && before === null)`,
    breaks: 'I17: two messages name each other as predecessor, and an ordered consumer waits for both',
    tests: ['test/relay/key-heads.test.ts'],
  },
  {
    name: 'saga/runner/late-all-the-same',
    file: 'src/saga/store/postgres/runner-step.ts',
    from: `if (this.#isGivenUp) throw unavailable('did not answer in time');`,
    to: `if (this.#isGivenUp && this.#recorded !== null) throw unavailable('did not answer in time');`,
    breaks: 'I8: a handler runs in a transaction that nobody waits for any more, beside its next attempt',
    tests: ['test/saga/runner-late.test.ts'],
  },
  {
    name: 'participant/answer/handler-not-taken-back',
    file: 'src/saga/participant/answer-message.ts',
    from: `handler.run(payload, own))().finally(() => lent.takeBack());`,
    to: `handler.run(payload, own))();`,
    breaks:
      'I20: a send that a handler of a participant left behind writes into the next transaction of its connection',
    tests: ['test/saga/participant-late-send.test.ts'],
  },
];
