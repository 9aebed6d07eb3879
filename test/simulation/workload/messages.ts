/** What the sagas of the simulation and their participants tell each other. */
import { z } from 'zod';
import { message } from '../../../src/message/message-type.ts';
import { BACK_WEATHERS, WEATHERS } from '../services/weather.ts';

/** What a plan of one of the fixed sagas has: participants meet more than that. */
const Weather = z.enum(['fair', 'rejected', 'failing twice']);
const Work = z.object({
  order: z.string(),
  amount: z.number(),
  weather: z.enum(WEATHERS),
  back: z.enum(BACK_WEATHERS).optional(),
});
const key = ({ order }: { readonly order: string }): string => order;

export const Charge = message('payment.charge', { schema: Work, key });
export const Charged = message('payment.charged', { schema: z.object({ payment: z.string() }) });
export const Refund = message('payment.refund', { schema: Work, key });
export const Reserve = message('stock.reserve', { schema: Work, key });
export const Reserved = message('stock.reserved', { schema: z.object({ shelf: z.string() }) });
export const Release = message('stock.release', { schema: Work, key });
export const Ship = message('stock.ship', { schema: Work, key });
export const News = message('order.news', { schema: z.object({ order: z.string(), run: z.string() }), key });

/** Which topics go to which queue. */
export const QUEUES: Readonly<Record<string, string>> = {
  [Charge.topic]: 'payments',
  [Refund.topic]: 'payments',
  [Reserve.topic]: 'stock',
  [Release.topic]: 'stock',
  [Ship.topic]: 'stock',
  [News.topic]: 'mail',
  'saga.reply': 'saga-replies',
};

/** What is to happen to a run, chosen when it is started. */
export const Plan = z.object({
  order: z.string(),
  amount: z.number(),
  first: Weather,
  second: Weather,
  third: Weather,
  /** The code has a mistake, which a later deployment mends. */
  bug: z.boolean(),
});
export type Plan = z.infer<typeof Plan>;
