/**
 * A participant on a client of the user's own: what a handler sends when it is over goes nowhere.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Row } from '../../src/postgres/executor.ts';
import type { Runner } from '../../src/postgres/runner.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { openStockLab, Release, Reserve, reservation, Reserved, sent, type StockLab } from './participant-lab.ts';

/** No client of node-postgres, which would be taken back by itself. */
interface Own {
  run(text: string, values: readonly unknown[]): Promise<readonly Row[]>;
}

let lab: StockLab;
beforeAll(async () => {
  lab = await openStockLab();
});
afterAll(() => lab.dispose());

it('a send that nobody has awaited is refused, and no statement of it is made', async () => {
  let statements = 0;
  const runner: Runner<Own> = {
    transaction: (fn) =>
      lab.database.transaction((client) =>
        fn({ run: async (text, values) => (await client.query<Record<string, unknown>>(text, [...values])).rows }),
      ),
    execute: (own, text, values) => {
      statements += 1;
      return own.run(text, values);
    },
  };
  let late: () => Promise<unknown> = () => Promise.resolve();
  const stock = createParticipant<Own>('stock', {
    runner,
    transport: createMemoryTransport(),
    redeliveryHorizon: '1d',
    handlers: (onOwn) => [
      onOwn(Reserve, { reply: Reserved }, async (command, { send }) => {
        late = () => send(Release, command);
        return reservation;
      }),
    ],
  });
  expect(await stock.handle(sent())).toEqual({ kind: 'done' });
  const before = statements;
  await expect(late()).rejects.toMatchObject({ code: 'HF_NOT_IN_TRANSACTION' });
  expect(statements).toBe(before);
});
