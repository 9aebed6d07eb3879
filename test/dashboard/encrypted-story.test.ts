/** What people are shown of encrypted values, at a terminal and in a browser: which key they have, and never their base64. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { createAesGcmCodec } from '../../src/message/aes-gcm-codec.ts';
import { placeOfPayload } from '../../src/message/open-envelope.ts';
import { createSagas } from '../../src/saga/client/client.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { holdfast } from '../cli/process.ts';
import { delivery, Placed, wire } from '../inbox/lab.ts';
import { openLab, type Lab } from '../saga/lab.ts';
import { CHROMIUM, IN_CHROMIUM } from './browser.ts';
import { servePage, takePicture } from './served-page.ts';

const codec = createAesGcmCodec({ keys: { k1: Buffer.alloc(32, 1).toString('base64') } });
const SHOWN = 'encrypted (key k1)';
const flow = saga({
  name: 'hidden-order',
  input: z.object({ card: z.string() }),
  steps: {
    take: step({ run: ({ card }: { card: string }) => card }),
    charge: step({
      run(card: string) {
        throw new Error(`no money on ${card}`);
      },
      retry: { attempts: 1 },
    }),
  },
  run: async ({ steps, input }) => steps.charge(await steps.take(input)),
});

let lab: Lab;
let runId: string;
const messageId = '0197a3c2-5b20-7e01-8a2f-6f1d7a0c9e11';
beforeAll(async () => {
  lab = await openLab();
  const consumer = createConsumer('shipping', {
    database: lab.database,
    transport: createMemoryTransport(),
    codec,
    retry: { attempts: 1 },
    handlers: [
      on(Placed, ({ orderId }) => {
        throw new TypeError(`cannot bear ${orderId}`);
      }),
    ],
  });
  const place = placeOfPayload({ id: messageId, topic: 'order.placed' });
  const data: unknown = JSON.parse(codec.encode(JSON.stringify({ orderId: 'secret-1', n: 1 }), place));
  await consumer.handle(delivery(wire({ id: messageId, data })));
  await lab.worker([flow], { codec });
  const run = await createSagas({ database: lab.database, sagas: [flow], codec }).start(flow, { card: 'secret-2' });
  runId = run.id;
  await run.result().catch(() => undefined);
});
afterAll(async () => {
  await lab.settle();
  await lab.dispose();
});

it.each([
  ['the parked message', () => ['parked', 'show', messageId], [`TypeError: ${SHOWN}`, `"${SHOWN}"`]],
  ['what is parked', () => ['parked', 'ls'], [`TypeError: ${SHOWN}`]],
  ['the run', () => ['saga', 'show', runId], [`it may have happened: ${SHOWN}`, `HF_STEP_FAILED: ${SHOWN}`]],
  ['its history', () => ['saga', 'history', runId], [`"output":"${SHOWN}"`, `"input":"${SHOWN}"`]],
] as const)('at a terminal: %s', async (_, args, shown) => {
  const { stdout, code } = await holdfast([...args()], { env: { DATABASE_URL: lab.test.url, COLUMNS: '160' } });
  expect(code).toBe(0);
  for (const words of shown) expect(stdout).toContain(words);
  expect(stdout).not.toContain('$enc');
});

describe.runIf(CHROMIUM !== null)(`shows ${IN_CHROMIUM}`, () => {
  it('the message, and the run with its calls', async () => {
    const served = await servePage('ada:operator', { database: lab.database });
    try {
      const { page } = await served.signIn();
      const bodyOf = async (): Promise<string> => page.locator('body').innerText();
      await page.goto(`${served.origin}/parked`);
      await page.getByText(`TypeError: ${SHOWN}`).waitFor();
      await page.goto(`${served.origin}/parked/${messageId}`);
      await page.getByText(`${SHOWN}: nothing here can open it`).first().waitFor();
      await page.getByText(`TypeError: ${SHOWN}`).waitFor();
      await takePicture(page, 'encrypted-message');
      expect(await bodyOf()).not.toContain('$enc');
      await page.goto(`${served.origin}/runs/${runId}`);
      await page.getByText(`${SHOWN}: nothing here can open it`).first().waitFor();
      await page.getByText(`failed: ${SHOWN}`).waitFor();
      await takePicture(page, 'encrypted-run');
      expect(await bodyOf()).not.toContain('$enc');
    } finally {
      await served.close();
    }
  });
});
