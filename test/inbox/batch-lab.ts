/**
 * What the tests of batches share: consumers with `batch`, and messages that come at the same time.
 */
import type { PoolClient } from 'pg';
import type { Consumer } from '../../src/inbox/consumer.ts';
import { on, type HandlerContext } from '../../src/inbox/handlers/handler.ts';
import type { Verdict } from '../../src/transport/port.ts';
import { delivery, Placed, wire, type Lab } from './lab.ts';

interface BatchedOrder {
  readonly orderId: string;
  readonly n: number;
}
export type Act = (order: BatchedOrder, context: HandlerContext<PoolClient>) => unknown;

export const done: Verdict = { kind: 'done' };

export const write = (tx: PoolClient, id: string, note = 'done'): Promise<unknown> =>
  tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [id, note]);

/** Writes the effect, then does `act`; all in one slot, so that what waits shares a transaction. */
export function batching(lab: Lab, act: Act = () => {}, rest: Partial<Parameters<Lab['make']>[0]> = {}): Consumer {
  return lab.make({
    concurrency: 1,
    // So long that a slow machine does not split them.
    batch: { within: '1m' },
    retry: { attempts: 2 },
    handlers: [
      on(Placed, async (order, context) => {
        await write(context.tx, context.message.id, String(order.n));
        await act(order, context);
      }),
    ],
    ...rest,
  });
}

export type Wire = ReturnType<typeof wire>;

export function wires(count: number, options: (n: number) => Parameters<typeof wire>[0] = () => ({})): readonly Wire[] {
  return Array.from({ length: count }, (_, n) => wire({ data: { orderId: `o-${n}`, n }, ...options(n) }));
}

export const handleAll = (consumer: Consumer, sent: readonly Wire[]): Promise<readonly Verdict[]> =>
  Promise.all(sent.map((each) => consumer.handle(delivery(each))));

export const idsOf = (rows: readonly { readonly id: string }[]): readonly string[] =>
  rows.map(({ id }) => id).toSorted();

/** By their marks: what is written under a savepoint has a number of its own. */
export async function transactions(lab: Lab): Promise<number> {
  const { rows } = await lab.test.pool.query('SELECT count(DISTINCT xmin::text)::int AS n FROM holdfast.inbox');
  return rows[0]?.n;
}
