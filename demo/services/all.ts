/** The four services by name. */
import type { ServiceName } from '../world.ts';
import { orders } from './orders.ts';
import { payment } from './payment.ts';
import type { DemoService } from './service.ts';
import { shipping } from './shipping.ts';
import { stock } from './stock.ts';

export const SERVICES: Readonly<Record<ServiceName, DemoService>> = { orders, stock, payment, shipping };
