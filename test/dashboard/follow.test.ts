/**
 * One order followed in a real browser, with the real server, relay, participant and worker: found by its key, its message's way read to the
 * run that was started with it, the run's command to its reply, the reply to the call that it answered, and back.
 */
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { messagePath } from '../../src/operations/path/message-path.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { createSagas } from '../../src/saga/client/client.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { CHROMIUM, DESKTOP, IN_CHROMIUM, PHONE, violations } from './browser.ts';
import { servePage, takePicture, type ServedPage } from './served-page.ts';

const Order = z.object({ orderId: z.string() });
const OrderPlaced = message('order.placed', { schema: Order, key: ({ orderId }) => orderId });
const Charge = message('payment.charge', { schema: Order });
const outbox = createOutbox();
const placeOrder = saga({
  name: 'place-order',
  input: Order,
  steps: { charge: command(Charge) },
  async run({ input, steps }) {
    await steps.charge(input);
  },
});

describe.runIf(CHROMIUM !== null)(`one order ${IN_CHROMIUM}`, () => {
  let test: TestDatabase;
  let database: Database;
  let served: ServedPage;
  const stops: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    test = await createTestDatabase({ migrate: true });
    database = openDatabase({ url: test.url, max: 15 });
    const transport = createMemoryTransport();
    const routes = [
      { topics: 'order.*', to: 'billing' },
      { topics: 'payment.*', to: 'services' },
      { topics: 'saga.reply', to: 'replies' },
    ];
    const relay = createRelay({
      database,
      subscriptions: [{ name: 'main', transport, from: 'beginning', routes }],
    });
    const billing = createConsumer('billing', {
      transport,
      database,
      outbox,
      handlers: [on(OrderPlaced, async () => {})],
    });
    const services = createParticipant('services', {
      transport,
      database,
      handlers: [handle(Charge, {}, async () => {})],
    });
    const worker = createWorker({ database, sagas: [placeOrder], replies: { transport, destination: 'replies' } });
    await Promise.all([relay, billing, services, worker].map((service) => service.start()));
    stops.push(
      () => worker.stop(),
      () => Promise.all([services.stop(), billing.stop()]),
      () => relay.stop(),
      () => transport.close(),
    );
    served = await servePage('vera:viewer', { database, sagas: [placeOrder] });
  });
  afterAll(async () => {
    await served.close();
    for (const stop of stops) await stop();
    await database.close();
    await test.drop();
  });

  /** The order, its message and its run are one transaction; done when all have seen it. */
  async function place(orderId: string): Promise<{ readonly messageId: string; readonly runId: string }> {
    const sagas = createSagas({ database, sagas: [placeOrder] });
    const placed = await database.transaction(async (tx) => {
      const { id: messageId } = await outbox.send(tx, OrderPlaced, { orderId });
      const { id: runId } = await sagas.start(tx, placeOrder, { orderId }, { key: orderId });
      return { messageId, runId };
    });
    await eventually(
      'the order to be done',
      async () => {
        const { together, consumers } = await messagePath(database, placed.messageId);
        return together.runs[0]?.status === 'completed' && consumers.length === 1;
      },
      30_000,
    );
    return placed;
  }

  async function look(page: Page, name: string): Promise<void> {
    const width = await page.evaluate<number>(
      'document.documentElement.scrollWidth - document.documentElement.clientWidth',
    );
    expect({ name, width }).toEqual({ name, width: 0 });
    expect({ name, found: await violations(page) }).toEqual({ name, found: [] });
    await takePicture(page, `follow-${name}`);
  }

  it.each([
    ['desk', DESKTOP, 'o-1'],
    ['phone', PHONE, 'o-2'],
  ] as const)('is followed from its key to the reply, to the run, and back (%s)', async (device, options, orderId) => {
    const { messageId, runId } = await place(orderId);
    const { origin } = served;
    const { page, wrong } = await served.signIn(options);
    const main = page.getByRole('main');
    await page.getByText('Needs a person').first().waitFor();

    // From everywhere, by one key.
    await page.keyboard.press('/');
    await page.keyboard.type(orderId);
    await page.keyboard.press('Enter');
    await main.getByRole('heading', { name: 'Messages' }).waitFor();
    await look(page, `${device}-found`);
    await main.getByRole('link', { name: 'order.placed' }).click();

    // The message's way, and the run that was started with it.
    await page.getByText('Consumer billing').waitFor();
    expect(page.url()).toBe(`${origin}/messages/${messageId}`);
    expect(await main.getByRole('listitem').filter({ hasText: 'Consumer billing' }).textContent()).toMatch(
      /handled it.*\+/,
    );
    await look(page, `${device}-way`);
    await main.getByRole('link', { name: /place-order@1 .* was started by the same transaction/ }).click();

    // The run, and the message of its call.
    await page.getByText('Over time').waitFor();
    expect(page.url()).toBe(`${origin}/runs/${runId}`);
    await main.getByRole('link', { name: 'charge', exact: true }).last().click();
    const call = page.getByLabel('The chosen call');
    await call.getByText('The message it sent').waitFor();
    await look(page, `${device}-run`);
    await call.getByRole('link', { name: /payment.charge/ }).click();

    // The command, its reply, and the call that took it in.
    await page.getByText('Participant services').waitFor();
    await look(page, `${device}-command`);
    await main.getByRole('link', { name: /saga.reply was sent by its handler/ }).click();
    await main.getByRole('link', { name: /took it in as the answer to charge: done/ }).click();
    await page.waitForURL(`${origin}/runs/${runId}?call=charge`);
    await main.getByRole('link', { name: 'order.placed' }).click();
    await page.waitForURL(`${origin}/messages/${messageId}`);

    // Searched by what it holds, at an address that shows the same to a colleague.
    await page.goto(`${origin}/messages`);
    await page.getByLabel('Payload contains').fill(JSON.stringify({ orderId }));
    await page.keyboard.press('Enter');
    await page.waitForURL(/payload=/);
    await main.getByRole('link', { name: 'payment.charge' }).waitFor();
    expect(await main.locator('tbody tr').count()).toBe(2);
    await look(page, `${device}-searched`);
    const { page: colleague } = await served.signIn(options);
    await colleague.goto(page.url());
    await colleague.getByRole('main').getByRole('link', { name: 'payment.charge' }).waitFor();
    expect(await colleague.getByLabel('Payload contains').inputValue()).toBe(JSON.stringify({ orderId }));
    expect(wrong).toEqual([]);
    await Promise.all([page.context().close(), colleague.context().close()]);
  });
});
