/**
 * Data that the database cannot keep: characters beyond its encoding (a real database in LATIN1), NUL and lone surrogates. Each is refused
 * at the door, or makes the run stuck with the reason; no effect is repeated by itself.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Rejection } from '../../src/errors.ts';
import { message } from '../../src/message/message-type.ts';
import { doctor } from '../../src/operations/doctor/doctor.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { child } from '../../src/saga/kinds/child.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { emit } from '../../src/saga/kinds/emit.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { openLab, type Lab } from './lab.ts';

const Noted = message('noted', { schema: z.object({ text: z.string() }), key: ({ text }) => text });

/** What a step does once, after which a value comes up that the database will not have. */
function bearing(text: string) {
  const made: string[] = [];
  const effect = (what: string): void => void made.push(what);
  const charge = step({ run: (_: null) => effect('charge'), compensate: () => effect('refund') });
  const inner = saga({
    name: 'inner',
    input: z.string(),
    steps: { part: step({ run: (_: string) => effect('part') }) },
    run: ({ input, steps }) => steps.part(input),
  });
  const base = { input: z.null(), signals: { go: z.string() } } as const;
  const sagas = {
    'a result of a step': saga({
      ...base,
      name: 'result',
      steps: {
        charge,
        talk: step({
          run: (_: null) => {
            effect('talk');
            return text;
          },
        }),
      },
      async run({ steps }) {
        await steps.charge(null);
        return steps.talk(null);
      },
    }),
    'a result of a transaction': saga({
      ...base,
      name: 'booked',
      steps: {
        charge,
        book: transaction({
          run: async (_: null, { tx }) => {
            await tx.query(`INSERT INTO effect (what) VALUES ('booked')`);
            return { [text]: 1 };
          },
        }),
      },
      async run({ steps }) {
        await steps.charge(null);
        await steps.book(null);
      },
    }),
    'an input of a step': saga({
      ...base,
      name: 'given',
      steps: { charge, talk: step({ run: (_: string) => effect('talk') }) },
      async run({ steps }) {
        await steps.charge(null);
        await steps.talk(text);
      },
    }),
    'an input of a child': saga({
      ...base,
      name: 'parent',
      steps: { charge, inner: child(inner) },
      async run({ steps }) {
        await steps.charge(null);
        await steps.inner(text);
      },
    }),
    'a command': saga({
      ...base,
      name: 'commanding',
      steps: { charge, ask: command(Noted, { timeout: '1h' }) },
      async run({ steps }) {
        await steps.charge(null);
        await steps.ask({ text });
      },
    }),
    'the key and payload of a message': saga({
      ...base,
      name: 'emitting',
      steps: { charge, note: emit(Noted) },
      async run({ steps }) {
        await steps.charge(null);
        await steps.note({ text });
      },
    }),
    'the result of the run': saga({
      ...base,
      name: 'ending',
      steps: { charge },
      async run({ steps }) {
        await steps.charge(null);
        return { text };
      },
    }),
  };
  return { sagas, inner, made };
}

const SMILE = 'smile \u{1F600}';
const KINDS = Object.keys(bearing('').sagas) as readonly (keyof ReturnType<typeof bearing>['sagas'])[];
const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown }).code;

/** Stuck, free, and still so after every worker has looked again: what was made is made once. */
async function staysStuck(lab: Lab, id: string): Promise<Awaited<ReturnType<Lab['stuck']>>> {
  const stuck = await lab.stuck(id);
  await lab.untilFree(id);
  const { rows } = await lab.test.pool.query('SELECT wake_at FROM holdfast.saga_run WHERE id = $1', [id]);
  expect(rows).toEqual([{ wake_at: null }]);
  return stuck;
}

describe('a database in LATIN1', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await openLab('LATIN1');
  });
  afterEach(() => lab.settle());
  afterAll(() => lab.dispose());

  it.each(KINDS)('that gets an emoji in %s has the run stuck with the reason, and nothing made twice', async (kind) => {
    const { sagas, inner, made } = bearing(SMILE);
    const worker = await lab.worker([sagas[kind], inner]);
    const { id } = await worker.sagas.start(sagas[kind], null);
    const { why, message: said } = await staysStuck(lab, id);
    expect(why).toBe('unrecordable');
    expect(said).toContain('UTF8');
    expect(made.filter((each) => each === 'charge')).toHaveLength(1);
    expect(made.filter((each) => each === 'talk').length).toBeLessThanOrEqual(1);
    expect((await lab.test.pool.query('SELECT what FROM effect')).rows).toEqual([]);
    // A person may have it compensated all the same.
    await worker.sagas.handle(sagas[kind], id).cancel();
    await lab.until(id, 'compensated');
    expect(made.filter((each) => each === 'refund')).toHaveLength(1);
  });

  it.each([
    ['a step', () => step({ run: (_: null) => refuse() })],
    ['a transaction', () => transaction({ run: async (_: null) => refuse() })],
  ])('that gets an emoji in the error of %s has the run stuck as well', async (_of, made) => {
    const failing = saga({
      name: 'failing',
      input: z.null(),
      steps: { talk: made() },
      run: ({ steps }) => steps.talk(null),
    });
    const worker = await lab.worker([failing]);
    const { id } = await worker.sagas.start(failing, null);
    expect((await staysStuck(lab, id)).why).toBe('unrecordable');
  });

  it('refuses an input, a key and a signal to whoever sends them, and the transaction of the caller can go on', async () => {
    const waiting = saga({
      name: 'waiting',
      input: z.string(),
      signals: { go: z.string() },
      steps: {},
      run: ({ waitFor }) => waitFor('go'),
    });
    const worker = await lab.worker([waiting]);
    const client = lab.client([waiting]);
    for (const sagas of [worker.sagas, client]) {
      expect(await sagas.start(waiting, SMILE).catch(codeOf)).toBe('22P05');
      expect(await sagas.start(waiting, 'plain', { key: SMILE }).catch(codeOf)).toBe('22P05');
    }
    const run = await worker.sagas.start(waiting, 'umlaut \u00fc');
    expect(await run.signal('go', SMILE).catch(codeOf)).toBe('22P05');
    await run.signal('go', '\u00fc');
    expect(await run.result()).toBe('\u00fc');
  });

  it('is named by the doctor', async () => {
    const { findings } = await doctor(lab.database);
    expect(findings).toContainEqual(expect.objectContaining({ check: 'postgres.encoding', level: 'warn' }));
  });
});

function refuse(): never {
  throw new Rejection(SMILE);
}

describe.each([
  ['NUL', 'a\0b'],
  ['half a surrogate pair', 'a\ud83d'],
])('%s', (_what, text) => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await openLab();
  });
  afterEach(() => lab.settle());
  afterAll(() => lab.dispose());

  it.each(KINDS)(
    'in %s makes the run stuck where the code is to be mended, and nothing is made twice',
    async (kind) => {
      const { sagas, inner, made } = bearing(text);
      const worker = await lab.worker([sagas[kind], inner]);
      const { id } = await worker.sagas.start(sagas[kind], null);
      const { why, message: said } = await staysStuck(lab, id);
      expect(why).toBe('code');
      expect(said).toContain('lone surrogate');
      expect(made.filter((each) => each === 'charge')).toHaveLength(1);
      expect(made.filter((each) => each === 'talk').length).toBeLessThanOrEqual(1);
    },
  );

  it('in an error is replaced, and the run is compensated as it was meant', async () => {
    const failing = saga({
      name: 'failing',
      input: z.null(),
      steps: {
        talk: step({
          run: (_: null) => {
            throw Object.assign(new Rejection(text, { details: { text } }), { name: text });
          },
        }),
      },
      run: ({ steps }) => steps.talk(null),
    });
    const worker = await lab.worker([failing], {
      // What cuts a text may cut a pair in two.
      redactError: (error) => ({ ...error, message: `${error.message} ${text}` }),
    });
    const { id } = await worker.sagas.start(failing, null);
    await lab.until(id, 'compensated');
  });

  it('in an input, a key, a signal, its id, or the word of a cancellation is refused to whoever sends it', async () => {
    const waiting = saga({
      name: 'waiting',
      input: z.string(),
      signals: { go: z.string() },
      steps: {},
      run: ({ waitFor }) => waitFor('go'),
    });
    const worker = await lab.worker([waiting]);
    const { sagas } = worker;
    expect(await sagas.start(waiting, text).catch(codeOf)).toBe('HF_PAYLOAD_TEXT');
    expect(await sagas.start(waiting, 'x', { key: text }).catch(codeOf)).toBe('HF_PAYLOAD_TEXT');
    const run = await sagas.start(waiting, 'x');
    expect(await run.signal('go', text).catch(codeOf)).toBe('HF_PAYLOAD_TEXT');
    expect(await run.signal('go', 'x', { id: text }).catch(codeOf)).toBe('HF_PAYLOAD_TEXT');
    expect(await run.cancel({ reason: text }).catch(codeOf)).toBe('HF_PAYLOAD_TEXT');
    expect(() => message(`t${text}`, { schema: z.null() })).toThrow();
    await run.signal('go', 'x');
    await run.result();
  });
});
