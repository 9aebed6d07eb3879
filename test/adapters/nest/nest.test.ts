/**
 * The module for NestJS: what is injected, what is found by decorators, in which order it starts and stops, and requests with idempotency
 * keys.
 */
import 'reflect-metadata';
import {
  Body,
  Controller,
  Inject,
  Injectable,
  Module,
  Post,
  Res,
  Scope,
  type DynamicModule,
  type INestApplication,
  type Type,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Request, Response } from 'express';
import { Kysely, PostgresDialect, type Transaction } from 'kysely';
import type { PoolClient } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  HandleCommand,
  HOLDFAST_IDEMPOTENCY,
  HoldfastHealth,
  HoldfastModule,
  Idempotent,
  IdempotentTransaction,
  InjectOutbox,
  InjectSagas,
  MessageConsumer,
  OnMessage,
  SagaDefinition,
  SagaParticipant,
  type HoldfastModuleOptions,
} from '../../../src/adapters/nest/nest.ts';
import type { IdempotentContext } from '../../../src/adapters/http/http-idempotency.ts';
import type { HandlerContext } from '../../../src/inbox/handlers/handler.ts';
import { message } from '../../../src/message/message-type.ts';
import type { Outbox } from '../../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../../src/postgres/database.ts';
import { createRelay } from '../../../src/relay/relay.ts';
import { saga } from '../../../src/saga/definition/definition.ts';
import { command } from '../../../src/saga/kinds/command.ts';
import { step } from '../../../src/saga/kinds/step.ts';
import type { CommandContext } from '../../../src/saga/participant/handle.ts';
import type { Sagas } from '../../../src/saga/client/client.ts';
import { createMemoryTransport } from '../../../src/transport/memory.ts';
import { signal } from '../../inbox/lab.ts';
import { createTestDatabase, type TestDatabase } from '../../support/servers.ts';
import { describeIdempotency, type Order, type Orders, type Serve } from '../idempotency-suite.ts';

const apps: INestApplication[] = [];

async function open(module: Type | DynamicModule): Promise<INestApplication> {
  const app = await NestFactory.create(module, { logger: false, abortOnError: false });
  apps.push(app);
  return app;
}

function rootOf(
  options: HoldfastModuleOptions,
  providers: readonly Type[],
  controllers: readonly Type[] = [],
): DynamicModule {
  class Root {}
  return {
    module: Root,
    imports: [HoldfastModule.forRoot(options)],
    providers: [...providers],
    controllers: [...controllers],
  };
}

const ORDERS = Symbol('orders');

@Controller()
class OrdersController {
  constructor(@Inject(ORDERS) readonly orders: Orders) {}

  @Post(['orders', 'payments'])
  @Idempotent<Request>({ scope: (request) => request.get('x-user') ?? '' })
  async create(
    @Body() body: Order,
    @IdempotentTransaction() context: IdempotentContext<PoolClient>,
    @Res({ passthrough: true }) response: Response,
  ): Promise<unknown> {
    const answer = await this.orders(context, body);
    response.status(answer.status).set(answer.headers);
    return answer.body === null ? undefined : JSON.parse(String(answer.body));
  }
}

const serve: Serve = async ({ database, idempotency, orders }) => {
  class Root {}
  // The suite gives what answers requests, with its own settings.
  const holdfast = HoldfastModule.forRoot({ database, closeDatabase: false });
  const providers = holdfast.providers?.map((each) =>
    'provide' in each && each.provide === HOLDFAST_IDEMPOTENCY
      ? { provide: each.provide, useValue: idempotency }
      : each,
  );
  const app = await open({
    module: Root,
    imports: [{ ...holdfast, providers: providers ?? [] }],
    providers: [{ provide: ORDERS, useValue: orders }],
    controllers: [OrdersController],
  });
  await app.listen(0, '127.0.0.1');
  return { url: await app.getUrl(), close: () => app.close() };
};

describeIdempotency('Nest', serve, { bytes: false });

const Placed = message('order.placed', { schema: z.object({ orderId: z.string() }), key: (order) => order.orderId });
const Reserve = message('stock.reserve', { schema: z.object({ orderId: z.string() }) });
const Reserved = message('stock.reserved', { schema: z.object({ shelf: z.string() }) });
const Release = message('stock.release', { schema: z.object({ orderId: z.string() }) });

const done = { shipped: signal(), noted: [] as string[] };

@Injectable()
@MessageConsumer('shipping')
class Shipping {
  readonly name = 'shipping';

  @OnMessage(Placed)
  async placed({ orderId }: { orderId: string }, { tx }: HandlerContext<PoolClient>): Promise<void> {
    await tx.query('INSERT INTO effect (id) VALUES ($1)', [`${this.name} ${orderId}`]);
    done.shipped.fire();
  }
}

@Injectable()
@SagaParticipant('stock')
class Stock {
  @HandleCommand(Reserve, { reply: Reserved })
  async reserve({ orderId }: { orderId: string }, { tx }: CommandContext<PoolClient>): Promise<{ shelf: string }> {
    await tx.query('INSERT INTO effect (id) VALUES ($1)', [`stock ${orderId}`]);
    return { shelf: 'a' };
  }

  @HandleCommand(Release, { compensates: Reserve })
  async release(): Promise<void> {}
}

@Injectable()
class Notes {
  note(text: string): void {
    done.noted.push(text);
  }
}

@Injectable()
class PlaceOrder {
  constructor(@Inject(Notes) readonly notes: Notes) {}

  @SagaDefinition()
  readonly definition = saga({
    name: 'place-order',
    input: z.object({ orderId: z.string() }),
    steps: {
      reserve: command(Reserve, { reply: Reserved, compensate: Release }),
      note: step({ run: async (shelf: string) => this.notes.note(shelf), compensate: () => {} }),
    },
    async run({ input, steps }) {
      const { shelf } = await steps.reserve(input);
      await steps.note(shelf);
      return shelf;
    },
  });
}

@Injectable()
class Checkout {
  constructor(
    @InjectOutbox() readonly outbox: Outbox,
    @InjectSagas() readonly sagas: Sagas,
    @Inject(PlaceOrder) readonly placeOrder: PlaceOrder,
  ) {}
}

describe('the module', () => {
  let test: TestDatabase;
  let database: Database;
  beforeAll(async () => {
    test = await createTestDatabase({ migrate: true });
    database = openDatabase({ url: test.url });
    await test.pool.query('CREATE TABLE effect (id text PRIMARY KEY)');
  });
  afterEach(async () => {
    for (const app of apps.splice(0)) await app.close();
  });
  afterAll(async () => {
    await database.close();
    await test.drop();
  });

  it('runs consumers, participants and sagas that it finds, with what they were injected', async () => {
    const transport = createMemoryTransport();
    const relay = createRelay({
      database,
      subscriptions: [
        {
          name: 'main',
          transport,
          routes: [
            { topics: 'order.*', to: 'shipping' },
            { topics: 'stock.*', to: 'stock' },
            { topics: 'saga.reply', to: 'replies' },
          ],
        },
      ],
    });
    const app = await open(
      rootOf(
        {
          database,
          transport,
          services: [relay],
          worker: { replies: { transport, destination: 'replies' } },
          closeDatabase: false,
        },
        [Shipping, Stock, Notes, PlaceOrder, Checkout],
      ),
    );
    const { outbox, sagas, placeOrder } = app.get(Checkout);
    expect(() => sagas.byName('place-order')).toThrow(/before the modules/);
    await app.init();
    const run = await database.transaction(async (tx) => {
      await outbox.send(tx, Placed, { orderId: 'o-1' });
      return sagas.start(tx, placeOrder.definition, { orderId: 'o-1' });
    });
    expect(await run.result()).toBe('a');
    await done.shipped.promise;
    expect(done.noted).toEqual(['a']);
    const health = app.get(HoldfastHealth);
    expect(await health.isReady()).toMatchObject({ holdfast: { status: 'up' } });
    expect(await health.isAlive('worker')).toMatchObject({ worker: { status: 'up' } });
    await app.close();
    expect(await health.isReady()).toMatchObject({ holdfast: { status: 'down' } });
    const { rows } = await test.pool.query('SELECT id FROM effect ORDER BY id');
    expect(rows).toEqual([{ id: 'shipping o-1' }, { id: 'stock o-1' }]);
  });

  it('starts services when the application is initialised, and stops them before the server', async () => {
    const journal: string[] = [];
    const log = (line: string) => async () => void journal.push(line);
    const mine = openDatabase({ url: test.url });
    @Injectable()
    class Hooks {
      onModuleInit = log('modules are initialised');
      onApplicationShutdown = log('the server is closed');
    }
    const services = [{ start: log('relay starts'), stop: log('relay stops') }];
    const app = await open(rootOf({ database: mine, services }, [Hooks]));
    await app.init();
    await app.close();
    expect(journal).toEqual(['modules are initialised', 'relay starts', 'relay stops', 'the server is closed']);
    await expect(mine.query('SELECT 1')).rejects.toThrow(/pool/);
  });

  @Injectable({ scope: Scope.REQUEST })
  class Visitor {}
  @Injectable({ scope: Scope.REQUEST })
  @MessageConsumer('each')
  class EachRequest {}
  @Injectable()
  @MessageConsumer('leads-to')
  class LeadsToOne {
    constructor(@Inject(Visitor) readonly visitor: Visitor) {}
  }
  @Injectable()
  class NoConsumer {
    @OnMessage(Placed)
    placed(): void {}
  }
  @Injectable()
  @MessageConsumer('no-transport')
  class NoTransport {
    @OnMessage(Placed)
    placed(): void {}
  }

  it.each([
    ['a class that is made for each request', [EachRequest], /made anew for each request.*default scope/],
    ['one that is injected such a class', [Visitor, LeadsToOne], /made anew for each request/],
    ['handlers of no consumer', [NoConsumer], /no @MessageConsumer/],
    ['a consumer without a transport', [NoTransport], /no transport/],
  ])('refuses %s', async (_what, providers, words) => {
    const app = await open(rootOf({ database, closeDatabase: false }, providers));
    await expect(app.init()).rejects.toThrow(words);
  });

  it('refuses options that it does not know', async () => {
    await expect(open(rootOf({ database, closeDatabase: false, broker: 1 } as never, []))).rejects.toMatchObject({
      code: 'HF_OPTION_UNKNOWN',
    });
  });

  it('takes its options from other providers, and hands the transactions of an ORM to handlers', async () => {
    const db = new Kysely<{ effect: { id: string } }>({ dialect: new PostgresDialect({ pool: test.pool }) });
    @Module({ providers: [{ provide: Kysely, useValue: db }], exports: [Kysely] })
    class OrmModule {}

    @Controller()
    class Notebook {
      @Post('notes')
      @Idempotent({ scope: () => 'all' })
      async note(
        @IdempotentTransaction() { tx }: IdempotentContext<Transaction<{ effect: { id: string } }>>,
      ): Promise<object> {
        await tx.insertInto('effect').values({ id: 'noted' }).execute();
        return { noted: new Date(0) };
      }

      @Post('instances')
      @Idempotent({ scope: () => 'all' })
      async instance(): Promise<object> {
        return { inner: [new Notes()] };
      }

      @Post('plain')
      async plain(@IdempotentTransaction() _context: unknown): Promise<void> {}
    }
    @Module({
      imports: [
        HoldfastModule.forRootAsync({
          imports: [OrmModule],
          inject: [Kysely],
          useFactory: (kysely: typeof db) => ({
            database,
            closeDatabase: false,
            runner: {
              transaction: <T>(fn: (tx: Transaction<{ effect: { id: string } }>) => Promise<T>) =>
                kysely.transaction().execute(fn),
            },
          }),
        }),
      ],
      controllers: [Notebook],
    })
    class Root {}
    const app = await open(Root);
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    const ask = (path: string) => fetch(`${url}/${path}`, { method: 'POST', headers: { 'idempotency-key': path } });
    const answers = [await ask('notes'), await ask('notes')];
    for (const answer of answers) expect(await answer.json()).toEqual({ noted: '1970-01-01T00:00:00.000Z' });
    expect(answers.map(({ headers }) => headers.get('idempotent-replayed'))).toEqual([null, 'true']);
    expect(await db.selectFrom('effect').select('id').where('id', '=', 'noted').execute()).toHaveLength(1);
    expect((await ask('instances')).status).toBe(500);
    expect((await ask('plain')).status).toBe(500);
  });
});
