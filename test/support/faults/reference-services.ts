/**
 * The services around the reference sagas: payment, stock, shipping and the other bank, real participants with tables. Whatever they do,
 * and whatever a transaction step does, leaves a row in `effect` that commits with it and that no constraint keeps from coming twice.
 */
import type pg from 'pg';
import { Rejection } from '../../../src/errors.ts';
import type { Database } from '../../../src/postgres/database.ts';
import type { AnySaga } from '../../../src/saga/definition/definition.ts';
import { handle, type CommandContext } from '../../../src/saga/participant/handle.ts';
import { createParticipant, type Participant } from '../../../src/saga/participant/participant.ts';
import type { StepDefinition, TransactionContext } from '../../../src/saga/definition/steps.ts';
import type { TransactionStep } from '../../../src/saga/kinds/transaction.ts';
import type { Transport } from '../../../src/transport/port.ts';
import { EXPENSE_TABLES } from '../../../sagas/approve-expense.ts';
import {
  ChargePayment,
  OrderShipped,
  PaymentCharged,
  RefundPayment,
  ReleaseStock,
  ReserveStock,
  ShipOrder,
  StockReserved,
} from '../../../sagas/messages/order.ts';
import { DepositMoney, MoneyDeposited } from '../../../sagas/messages/transfer.ts';
import { TRANSFER_TABLES } from '../../../sagas/transfer-money.ts';

export const SERVICES = 'services';
/** Where the messages of the reference sagas go. */
export const SERVICE_ROUTES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    [ChargePayment, RefundPayment, ReserveStock, ReleaseStock, ShipOrder, DepositMoney].map(({ topic }) => [
      topic,
      SERVICES,
    ]),
  ),
  'saga.reply': 'saga-replies',
};

/** Cannot be shipped. */
export const UNSHIPPABLE = 'anvil';
/** Has no account at the other bank. */
export const NOBODY = 'nobody';

/** `holding`: money and goods by who has them, `ada`, `shop`, `shelf`, `kept`, `sent`, each for one order or transfer. */
export const REFERENCE_TABLES = `
  CREATE TABLE effect (position bigint GENERATED ALWAYS AS IDENTITY, what text NOT NULL, key text NOT NULL, kind text NOT NULL);
  CREATE TABLE holding (of text, who text, amount bigint NOT NULL CHECK (amount >= 0), PRIMARY KEY (of, who));
  ${TRANSFER_TABLES}
  ${EXPENSE_TABLES}`;

export interface EffectRow {
  readonly what: 'done' | 'compensated';
  /** The idempotency key. */
  readonly key: string;
  readonly kind: 'command' | 'transaction';
}

type Tx = Pick<pg.PoolClient, 'query'>;

async function note(tx: Tx, what: EffectRow['what'], key: string, kind: EffectRow['kind']): Promise<void> {
  await tx.query('INSERT INTO effect (what, key, kind) VALUES ($1, $2, $3)', [what, key, kind]);
}

async function move(tx: Tx, of: string, from: string, to: string, amount: number): Promise<void> {
  await tx.query('UPDATE holding SET amount = amount - $3 WHERE of = $1 AND who = $2', [of, from, amount]);
  await tx.query('UPDATE holding SET amount = amount + $3 WHERE of = $1 AND who = $2', [of, to, amount]);
}

/** Every effect noted in the transaction that makes it. */
export function referenceServices(database: Database, transport: Transport): Participant {
  const did = ({ tx, idempotencyKey }: CommandContext<pg.PoolClient>) => note(tx, 'done', idempotencyKey, 'command');
  const undid = ({ tx, idempotencyKey }: CommandContext<pg.PoolClient>) =>
    note(tx, 'compensated', idempotencyKey, 'command');
  return createParticipant(SERVICES, {
    database,
    transport,
    handlers: [
      handle(ChargePayment, { reply: PaymentCharged }, async ({ orderId, amount }, context) => {
        await move(context.tx, orderId, 'ada', 'shop', amount);
        await did(context);
        return { paymentId: `payment of ${orderId}` };
      }),
      handle(RefundPayment, { compensates: ChargePayment }, async ({ orderId, amount }, context) => {
        await move(context.tx, orderId, 'shop', 'ada', amount);
        await undid(context);
      }),
      handle(ReserveStock, { reply: StockReserved }, async ({ orderId, quantity }, context) => {
        await move(context.tx, orderId, 'shelf', 'kept', quantity);
        await did(context);
        return { reservationId: `reservation of ${orderId}` };
      }),
      handle(ReleaseStock, { compensates: ReserveStock }, async ({ orderId, quantity }, context) => {
        await move(context.tx, orderId, 'kept', 'shelf', quantity);
        await undid(context);
      }),
      handle(ShipOrder, { reply: OrderShipped }, async ({ orderId, sku, quantity }, context) => {
        if (sku === UNSHIPPABLE) throw new Rejection('too heavy');
        await move(context.tx, orderId, 'kept', 'sent', quantity);
        await did(context);
        return { parcel: `parcel of ${orderId}` };
      }),
      handle(DepositMoney, { reply: MoneyDeposited }, async ({ transferId, account, amount }, context) => {
        if (account === NOBODY) throw new Rejection('no such account');
        await context.tx.query(`UPDATE holding SET amount = amount + $2 WHERE of = $1 AND who = 'theirs'`, [
          transferId,
          amount,
        ]);
        await did(context);
        return { entryId: `entry of ${transferId}` };
      }),
    ],
  });
}

/** The saga as it is, but for a row beside what each of its transaction steps writes. */
export function withEffectsNoted<S extends AnySaga>(saga: S): S {
  const noted = (step: StepDefinition): StepDefinition => {
    if (step.kind !== 'transaction') return step;
    const { run, compensate } = step as TransactionStep;
    const after = async (output: unknown, what: EffectRow['what'], context: TransactionContext): Promise<unknown> => {
      const value = await output;
      await note(context.tx, what, context.idempotencyKey, 'transaction');
      return value;
    };
    const both: Pick<TransactionStep, 'run' | 'compensate'> = {
      run: (input, context) => after(run(input, context), 'done', context),
      compensate:
        compensate && ((compensation, context) => after(compensate(compensation, context), 'compensated', context)),
    };
    return { ...step, ...both };
  };
  const steps = Object.fromEntries(Object.entries(saga.steps).map(([name, step]) => [name, noted(step)]));
  return { ...saga, steps };
}
