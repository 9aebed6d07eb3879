/** The application. `@InjectSagas()`, `@InjectOutbox()` and HoldfastHealth can be injected everywhere. */
import { Module } from '@nestjs/common';
import { HoldfastModule } from 'holdfast/nest';
import { database, unitOfWork } from './database.js';
import { OrdersController } from './orders.controller.js';
import { placeOrder } from './sagas/place-order.js';

@Module({
  imports: [
    HoldfastModule.forRoot({
      ...unitOfWork,
      database,
      sagas: [placeOrder],
      // This process only starts them.
      worker: false,
      // A request without an Idempotency-Key is handled as well.
      idempotency: { required: false },
    }),
  ],
  controllers: [OrdersController],
})
export class AppModule {}
