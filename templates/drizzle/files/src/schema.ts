/** The tables of this service, as Drizzle knows them. */
import { numeric, pgTable, text } from 'drizzle-orm/pg-core';

export const orders = pgTable('orders', {
  id: text().primaryKey(),
  item: text().notNull(),
  amount: numeric({ mode: 'number' }).notNull(),
  state: text().notNull().default('placed'),
});

export const shipments = pgTable('shipments', {
  orderId: text('order_id').primaryKey(),
  item: text().notNull(),
});
