/** Stored runs, read from a database and from what the command line prints. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { checkReplay, parseHistory, readHistories, saga, step } from '../../src/index.ts';
import { readJournal } from '../../src/operations/sagas/sagas.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const order = saga({
  name: 'order',
  input: z.number(),
  signals: { go: z.string() },
  steps: { charge: step({ run: async (amount: number) => amount }), ship: step({ run: async (to: string) => to }) },
  async run({ input, steps: { charge, ship }, waitFor, uuid, now }) {
    await charge(input);
    await ship(`${await waitFor('go')} ${uuid()} ${now().getTime()}`);
  },
});

describe('histories', () => {
  it('are read from a database and from what the command line prints, and fit the code that wrote them', async () => {
    const worker = await lab.worker([order]);
    const run = await worker.sagas.start(order, 5);
    await lab.untilEvent(run.id, 'called', 'wait:go#1');
    await run.signal('go', 'home');
    await run.result({ timeout: '20s' });
    expect(await readHistories(lab.database, { saga: 'order' })).toEqual([]);
    const [read] = await readHistories(lab.database, { saga: 'order', finished: true });
    const rows = await readJournal(lab.database, run.id);
    const printed = parseHistory(JSON.stringify({ id: run.id, rows }));
    expect(printed).toEqual(read);
    expect(await checkReplay(order, printed)).toEqual({ kind: 'fits', next: [], ended: true });
    expect(await checkReplay(order, { ...printed, id: randomUUID() })).toMatchObject({
      kind: 'mismatch',
      why: 'non-determinism',
    });
  });

  it('that are none are refused', async () => {
    for (const text of ['', 'null', '{}', '{"id":"x","rows":[]}', '{"id":"x","rows":[{"n":0,"at":1,"events":[1]}]}'])
      expect(() => parseHistory(text)).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    for (const options of [{ saga: '' }, { saga: 'a', version: 0 }, { saga: 'a', limit: 0 }])
      await expect(readHistories(lab.database, options)).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(readHistories(lab.database, { saga: 'a', status: 'x' } as never)).rejects.toMatchObject({
      code: 'HF_OPTION_UNKNOWN',
    });
  });
});
