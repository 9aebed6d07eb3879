/** The routes of orders. */
import { BadRequestException, Body, Controller, Get, HttpCode, NotFoundException, Param, Post } from '@nestjs/common';
import { Idempotent, IdempotentTransaction } from 'holdfast/nest';
import { z } from 'zod';
import { NewOrder, place, type OrderContext } from './orders.js';
import { stateOf } from './queries.js';

@Controller('orders')
export class OrdersController {
  // In a service of your own the scope is who is logged in.
  @Post()
  @HttpCode(202)
  @Idempotent({ scope: () => 'all' })
  async place(@Body() body: unknown, @IdempotentTransaction() context: OrderContext): Promise<{ orderId: string }> {
    const { data, error } = NewOrder.safeParse(body);
    if (data === undefined) throw new BadRequestException(z.prettifyError(error));
    return place(context, data);
  }

  @Get(':id')
  async show(@Param('id') orderId: string): Promise<{ orderId: string; state: string }> {
    const state = await stateOf(orderId);
    if (state === undefined) throw new NotFoundException('There is no such order.');
    return { orderId, state };
  }
}
