/** The HTTP service. Sagas and consumers run beside it: `npm run dev` on your machine, `npx holdfast start` in production. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module.js';
import { database } from './database.js';
import { createTables } from './tables.js';

async function main(): Promise<void> {
  await createTables(database);
  const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
  // A SIGTERM ends what is under way, and then the process.
  app.enableShutdownHooks(undefined, { useProcessExit: true });
  const port = Number(process.env['PORT'] ?? 3000);
  await app.listen(port);
  console.log(`orders are taken at http://127.0.0.1:${port}/orders`);
}

void main();
