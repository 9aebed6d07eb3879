/**
 * Numbers that a double would alter, on the ways of sagas: into a participant's handler, its record and its compensation, back in a reply,
 * and at the doors where values come in.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createSagaReplies } from '../../src/saga/protocol/replies.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { delivery, wire } from '../inbox/lab.ts';
import { openLab, type Lab } from './lab.ts';
import { note, openStockLab, RUN, sent, type StockLab } from './participant-lab.ts';

const BIG = '9007199254740993';

describe('a participant', () => {
  const Book = message('ledger.book', { schema: z.object({ id: z.coerce.string() }), numbers: 'text' });
  const Booked = message('ledger.booked', { schema: z.object({ entry: z.string() }) });
  const Unbook = message('ledger.unbook', { schema: z.object({ id: z.coerce.bigint() }), numbers: 'bigint' });
  const Rough = message('ledger.rough', { schema: z.object({ id: z.number() }) });
  let broken = false;
  const handlers = [
    handle(Book, { reply: Booked }, async ({ id }, { tx }) => {
      if (broken) throw new Error('not now');
      await note(tx, `book ${id}`);
      return { entry: `e-${id}` };
    }),
    handle(Unbook, { compensates: Book, reply: Booked }, async ({ id }, { tx, command: booked, reply }) => {
      await note(tx, `unbook ${id} ${booked?.id} ${reply?.entry}`);
    }),
    handle(Rough, async ({ id }, { tx }) => {
      await note(tx, `rough ${id}`);
    }),
  ];
  const carrying = (type: string, number: string, rest: Parameters<typeof sent>[0] = {}) => {
    const { wire: text } = sent({ type, call: 'book', data: { id: 0 }, ...rest });
    return delivery(String(text).replace('"id":0', `"id":${number}`));
  };
  const compensation = (number: string) => carrying('ledger.unbook', number, { role: 'compensation' });
  const recorded = async (): Promise<unknown> =>
    (await lab.test.pool.query('SELECT command::text FROM holdfast.participant_call')).rows;

  let lab: StockLab;
  beforeAll(async () => {
    lab = await openStockLab();
  });
  beforeEach(async () => {
    broken = false;
    await lab.clean();
  });
  afterAll(() => lab.dispose());

  it('is given them, records them and compensates them as they came', async () => {
    const ledger = lab.participant({ handlers });
    await ledger.handle(carrying('ledger.book', BIG));
    expect(await recorded()).toEqual([{ command: expect.stringContaining(`"data": {"id": ${BIG}}`) as string }]);
    await ledger.handle(compensation(BIG));
    expect(await lab.notes()).toEqual([`book ${BIG}`, `unbook ${BIG} ${BIG} e-${BIG}`]);
  });

  it('does not take another one for the recorded one, though a double holds them both', async () => {
    const ledger = lab.participant({ handlers });
    await ledger.handle(carrying('ledger.book', BIG));
    await ledger.handle(compensation('9007199254740992'));
    expect(await lab.notes()).toEqual([`book ${BIG}`]);
    expect(await lab.replies()).toMatchObject([{}, { outcome: 'rejected', error: { code: 'HF_NOT_ON_RECORD' } }]);
  });

  it('takes a parked command up again as it came', async () => {
    const ledger = lab.participant({ handlers, retry: { attempts: 1 } });
    broken = true;
    await ledger.handle(carrying('ledger.book', BIG));
    expect(await lab.parked()).toHaveLength(1);
    broken = false;
    await ledger.tickParked();
    expect(await lab.notes()).toEqual([`book ${BIG}`]);
    expect(await recorded()).toEqual([{ command: expect.stringContaining(BIG) as string }]);
  });

  it('keeps what would be Infinity, or refuses it', async () => {
    const ledger = lab.participant({ handlers, retry: { attempts: 1 } });
    await ledger.handle(carrying('ledger.book', '1e400'));
    expect(await lab.notes()).toEqual(['book 1e400']);
    expect(await recorded()).toEqual([{ command: expect.stringContaining(`1${'0'.repeat(400)}`) as string }]);
    await ledger.handle(carrying('ledger.rough', '1e400', { call: 'rough' }));
    // More than jsonb can hold, so that there is no record to be had.
    await ledger.handle(carrying('ledger.book', '1e999999', { call: 'monstrous' }));
    expect(await lab.notes()).toHaveLength(1);
    expect(await lab.parked()).toMatchObject([{ topic: 'ledger.rough' }, { topic: 'ledger.book' }]);
  });

  it('answers from another language: the reply comes to its run with its digits', async () => {
    await lab.test.pool.query(
      `INSERT INTO holdfast.saga_run (id, saga, version, status) VALUES ($1, 'place-order', 1, 'waiting')`,
      [RUN],
    );
    const replies = createSagaReplies({
      database: lab.database,
      transport: createMemoryTransport(),
      redeliveryHorizon: '1d',
    });
    const output = `{"id": ${BIG}, "most": 1e400}`;
    for (const [call, text] of Object.entries({ exact: output, plain: '{"id": 7}' })) {
      const data = { runId: RUN, call, to: 'command', outcome: 'done', output: 0, outputVersion: 1 };
      const reply = wire({ type: 'saga.reply', data }).text.replace('"output":0', `"output":${text}`);
      await replies.handle(delivery(reply));
    }
    const { rows } = await lab.test.pool.query('SELECT body FROM holdfast.saga_mail ORDER BY id');
    expect(rows).toMatchObject([{ body: { outputText: output } }, { body: { output: { id: 7 } } }]);
  });
});

describe('a saga', () => {
  const Ask = message('ledger.ask', { schema: z.null() });
  const exact = message('ledger.exact', { schema: z.object({ id: z.coerce.string() }), numbers: 'text' });
  const rough = message('ledger.rough', { schema: z.object({ id: z.number() }) });
  const asking = saga({
    name: 'asking',
    input: z.enum(['exact', 'rough']),
    steps: { exact: command(Ask, { reply: exact }), rough: command(Ask, { reply: rough }) },
    run: async ({ input, steps }) => steps[input](null),
  });
  const doors = saga({
    name: 'doors',
    input: z.object({ n: z.number() }).or(z.any()),
    signals: { go: z.any() },
    steps: { give: step({ run: () => ({ n: Infinity }), retry: { attempts: 1 }, compensate: () => {} }) },
    run: async ({ steps, waitFor }) => {
      await waitFor('go');
      await steps.give();
    },
  });
  let lab: Lab;
  beforeAll(async () => {
    lab = await openLab();
  });
  afterEach(() => lab.settle());
  afterAll(() => lab.dispose());

  const answered = async (which: 'exact' | 'rough', outputText: string): Promise<string> => {
    const worker = await lab.worker([asking]);
    const run = await worker.sagas.start(asking, which);
    await lab.untilEvent(run.id, 'called', which);
    await lab.postRunMessage(run.id, { kind: 'reply', call: which, to: 'command', outcome: 'done', outputText });
    return run.id;
  };

  it('is told a reply as its type asks for it', async () => {
    const id = await answered('exact', `{"id": ${BIG}}`);
    expect((await lab.until(id, 'completed')).result).toEqual({ id: BIG });
    const rounded = await answered('rough', `{"id": ${BIG}}`);
    expect((await lab.until(rounded, 'completed')).result).toEqual({ id: 9007199254740992 });
  });

  it('is never told Infinity: a reply that would be it cannot be read', async () => {
    const id = await answered('rough', '{"id": 1e400}');
    const failed = await lab.untilEvent(id, 'failed', 'rough');
    expect(failed).toMatchObject({ error: { code: 'HF_PAYLOAD_INVALID' } });
    await lab.until(id, 'compensated');
  });

  it('takes no Infinity at its start, in a signal or from a step', async () => {
    const worker = await lab.worker([doors]);
    const refused = { code: 'HF_PAYLOAD_NOT_JSON' };
    await expect(worker.sagas.start(doors, { n: Infinity })).rejects.toMatchObject(refused);
    const run = await worker.sagas.start(doors, { n: 1 });
    await expect(run.signal('go', { n: -Infinity })).rejects.toMatchObject(refused);
    await run.signal('go', { n: 1 });
    expect((await lab.stuck(run.id)).why).toBe('code');
  });
});
