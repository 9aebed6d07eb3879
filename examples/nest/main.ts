/**
 * Holdfast in NestJS: `DATABASE_URL=postgres://… npx tsx --tsconfig examples/nest/tsconfig.json examples/nest/main.ts`
 */
import 'reflect-metadata';
import {
  BadRequestException,
  Body,
  Controller,
  Get,
  Inject,
  Injectable,
  Module,
  NotFoundException,
  Param,
  Post,
  Res,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Request, Response } from 'express';
import { createMemoryTransport, createRelay, type HandlerContext } from 'holdfast';
import type { IdempotentContext } from 'holdfast/http';
import {
  HoldfastHealth,
  HoldfastModule,
  Idempotent,
  IdempotentTransaction,
  MessageConsumer,
  OnMessage,
} from 'holdfast/nest';
import type { PoolClient } from 'pg';
import { Order, OrderPlaced, openShop, placeOrder, type Shop } from '../shop/shop.ts';

const SHOP = Symbol('shop');
const shop = await openShop();

@Controller('orders')
class OrdersController {
  constructor(@Inject(SHOP) readonly orders: Shop) {}

  // In a service of your own: who is logged in.
  @Post()
  @Idempotent<Request>({ scope: (request) => request.get('x-user') ?? 'nobody' })
  async place(
    @Body() body: unknown,
    @IdempotentTransaction() context: IdempotentContext<PoolClient>,
  ): Promise<{ orderId: string }> {
    const order = Order.safeParse(body);
    if (!order.success) throw new BadRequestException(order.error.message);
    await this.orders.place(context, order.data);
    return { orderId: order.data.orderId };
  }

  @Get(':orderId')
  async show(@Param('orderId') orderId: string): Promise<{ state: string }> {
    const state = await this.orders.stateOf(orderId);
    if (state === null) throw new NotFoundException();
    return { state };
  }
}

@Injectable()
@MessageConsumer('shipping')
class Shipping {
  @OnMessage(OrderPlaced)
  async placed({ orderId }: Order, { tx }: HandlerContext<PoolClient>): Promise<void> {
    await tx.query('INSERT INTO shipment (order_id) VALUES ($1)', [orderId]);
  }
}

@Controller()
class HealthController {
  constructor(@Inject(HoldfastHealth) readonly health: HoldfastHealth) {}

  @Get('readyz')
  async ready(@Res({ passthrough: true }) response: Response): Promise<object> {
    const { holdfast } = await this.health.isReady();
    if (holdfast?.status !== 'up') response.status(503);
    return { holdfast };
  }
}

// In memory, because this example is one process; with several it is BullMQ's.
const transport = createMemoryTransport();
const relay = createRelay({
  database: shop.database,
  subscriptions: [{ name: 'main', transport, routes: [{ topics: 'order.*', to: 'shipping' }] }],
});

@Module({
  imports: [
    HoldfastModule.forRoot({
      database: shop.database,
      outbox: shop.outbox,
      transport,
      sagas: [placeOrder],
      services: [relay],
    }),
  ],
  controllers: [OrdersController, HealthController],
  providers: [Shipping, { provide: SHOP, useValue: shop }],
})
class AppModule {}

await shop.database.query('CREATE TABLE IF NOT EXISTS shipment (order_id text PRIMARY KEY)');
const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
// A SIGTERM stops what is above, in order, and then the process.
app.enableShutdownHooks(undefined, { useProcessExit: true });
await app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1');
console.log(`listening on ${await app.getUrl()}`);
