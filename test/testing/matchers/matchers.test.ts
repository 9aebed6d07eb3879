/**
 * The matchers: what passes, and what they say when it does not.
 */
import { AssertionError } from 'node:assert';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError, Rejection } from '../../../src/errors.ts';
import { on } from '../../../src/inbox/handlers/handler.ts';
import { message } from '../../../src/message/message-type.ts';
import { saga } from '../../../src/saga/definition/definition.ts';
import { emit } from '../../../src/saga/kinds/emit.ts';
import { step } from '../../../src/saga/kinds/step.ts';
import {
  assertCompensated,
  assertCompleted,
  assertHandled,
  assertSent,
  assertSentTimes,
  assertStuck,
} from '../../../src/testing/matchers/asserts.ts';
import { testMessages } from '../../../src/testing/messages/memory-test.ts';
import { testSagas, type TestRun } from '../../../src/testing/saga/saga-test.ts';

const Placed = message('order.placed', {
  schema: z.object({ orderId: z.string(), card: z.object({ number: z.string(), kind: z.string() }).optional() }),
});
const Shipped = message('order.shipped', { schema: z.object({ orderId: z.string() }) });

beforeAll(() => import('../../../src/doors/vitest.ts'));

/** What an assertion that fails says. */
async function failureOf(assertion: () => unknown): Promise<string> {
  try {
    await assertion();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('It passed.');
}

const card = { number: '4111', kind: 'visa' };

describe('messages', () => {
  it('are found by their type and a part of their payload', async () => {
    const test = testMessages();
    await test.send(Placed, { orderId: 'o-1', card });
    await test.send(Placed, { orderId: 'o-2' });
    expect(test).toHaveSent(Placed);
    expect(test).toHaveSent(Placed, { card: { kind: 'visa' } });
    expect(test).toHaveSent(Placed, { orderId: expect.stringMatching(/^o-/), card: undefined });
    expect(test).not.toHaveSent(Placed, { orderId: 'o-3' });
    expect(test).not.toHaveSent(Shipped);
    expect(test).toHaveSentTimes(Placed, 2);
    expect(test).toHaveSentTimes(Placed, 1, { orderId: 'o-1' });
    expect(test).toHaveSentTimes(Shipped, 0);
    assertSent(test, Placed, { orderId: 'o-2' });
    assertSentTimes(test, Shipped, 0);
    // @ts-expect-error there is no such field
    expect(test).not.toHaveSent(Placed, { order: 'o-1' });
  });

  it('say what was sent instead: nothing of it, other payloads, another number', async () => {
    const test = testMessages();
    expect(await failureOf(() => expect(test).toHaveSent(Placed))).toBe(
      'Expected order.placed to have been sent, but it was never sent. Sent were: no messages.',
    );
    await test.send(Placed, { orderId: 'o-1', card });
    await test.send(Placed, { orderId: 'other' });
    expect(await failureOf(() => expect(test).toHaveSent(Shipped))).toContain('Sent were: order.placed twice.');
    expect(await failureOf(() => expect(test).toHaveSent(Placed, { orderId: 'o-2', card: { kind: 'visa' } }))).toBe(
      [
        'Expected order.placed to have been sent with',
        "  { orderId: 'o-2', card: { kind: 'visa' } }",
        'but it was sent twice with another payload.',
        'The nearest (- expected, + found):',
        '    {',
        '  -   "orderId": "o-2",',
        '  +   "orderId": "o-1",',
        '      "card": {',
        '        "kind": "visa"',
        '      }',
        '    }',
      ].join('\n'),
    );
    expect(await failureOf(() => expect(test).toHaveSentTimes(Placed, 3))).toBe(
      [
        'Expected order.placed to have been sent 3 times, but it was sent twice:',
        "  { orderId: 'o-1', card: { number: '4111', kind: 'visa' } }",
        "  { orderId: 'other' }",
      ].join('\n'),
    );
    expect(await failureOf(() => expect(test).not.toHaveSent(Placed, { orderId: 'other' }))).toContain('but it was:');
  });

  it('show no fields that are redacted, on neither side', async () => {
    const test = testMessages({ redact: ['card.number'] });
    await test.send(Placed, { orderId: 'o-1', card });
    const said = await Promise.all([
      failureOf(() => expect(test).toHaveSent(Placed, { card: { number: '4222' } })),
      failureOf(() => expect(test).toHaveSent(Placed, { orderId: 'o', card: { number: '4222' } })),
      failureOf(() => expect(test).not.toHaveSent(Placed)),
    ]);
    expect(said.join('\n')).not.toMatch(/4111|4222/);
    expect(said[0]).toContain('They differ in fields that `redact` hides.');
    expect(said[2]).toContain('[redacted]');
  });

  it('are handled, parked, failed or never there', async () => {
    const handlers = [
      on(Placed, ({ orderId }) => {
        if (orderId === 'bad') throw new PermanentError('no such street');
        if (orderId === 'slow') throw new Error('no lorry');
      }),
    ];
    const test = testMessages({ consumers: { shipping: { handlers }, billing: { handlers: [on(Placed, () => {})] } } });
    expect(await failureOf(() => expect(test).toHaveHandled(Placed))).toContain('but it never came.');
    await test.deliver(Placed, { orderId: 'slow' }, { to: 'shipping' });
    expect(await failureOf(() => expect(test).toHaveHandled(Placed, {}, { by: 'shipping' }))).toMatch(
      /attempt failed: .*no lorry/,
    );
    await test.deliver(Placed, { orderId: 'bad' });
    expect(test).toHaveHandled(Placed, { orderId: 'bad' }, { by: 'billing' });
    expect(test).not.toHaveHandled(Shipped);
    assertHandled(test, Placed);
    expect(await failureOf(() => expect(test).toHaveHandled(Placed, undefined, { by: 'shipping' }))).toMatch(
      /but it is parked\.\n {2}shipping: permanent error: .*no such street/,
    );
    expect(await failureOf(() => assertHandled(test, Placed, { orderId: 'o-9' }))).toContain('another payload');
  });

  it('of sagas are found as well', async () => {
    const news = saga({
      name: 'news',
      input: z.object({ orderId: z.string() }),
      steps: { tell: emit(Shipped) },
      run: ({ input, steps }) => steps.tell(input),
    });
    const test = testSagas({ sagas: [news] });
    await expect(await test.start(news, { orderId: 'o-1' })).toHaveCompleted();
    expect(test).toHaveSentTimes(Shipped, 1, { orderId: 'o-1' });
    expect(await failureOf(() => assertSent(test, Placed))).toContain('Sent were: order.shipped once.');
  });

  it('are asked of tests alone', async () => {
    expect(await failureOf(() => expect(3).toHaveSent(Placed))).toContain('a test of messages or of sagas');
    expect(await failureOf(() => expect(testMessages()).toHaveSent(undefined as never))).toContain('a message type');
  });
});

describe('runs', () => {
  const flow = saga({
    name: 'flow',
    input: z.object({ end: z.enum(['well', 'refused', 'bug']) }),
    steps: {
      one: step({ run: async () => 1, compensate: async () => {} }),
      two: step({ run: async () => 2, compensate: async () => {} }),
    },
    async run({ input, steps }) {
      await steps.one();
      await steps.two();
      if (input.end === 'refused') throw new Rejection('sold out');
      if (input.end === 'bug') throw new TypeError('oops');
      return { total: 3, parts: [1, 2] };
    },
  });
  const start = (end: 'well' | 'refused' | 'bug'): Promise<TestRun<typeof flow>> =>
    testSagas({ sagas: [flow] }).start(flow, { end });

  it('have completed, are compensated in an order, or stuck for a reason', async () => {
    const [well, refused, bug] = await Promise.all([start('well'), start('refused'), start('bug')]);
    await expect(well).toHaveCompleted();
    await expect(well).toHaveCompleted({ total: 3 });
    await expect(refused).toHaveCompensated();
    await expect(refused).toHaveCompensated('two', 'one');
    await expect(refused).not.toHaveCompensated('one', 'two');
    await expect(bug).toBeStuck('code');
    await expect(bug).not.toHaveCompleted();
    await assertCompleted(well);
    await assertCompensated(refused, 'two', 'one');
    await assertStuck(bug);
  });

  it('say what they are instead, and why', async () => {
    const [well, refused, bug] = await Promise.all([start('well'), start('refused'), start('bug')]);
    expect(await failureOf(() => expect(refused).toHaveCompleted())).toMatch(
      /^Expected run \S+ of flow to have completed, but it is compensated: .*sold out.*\n {2}one: done\n {2}two: done\n {2}two: compensated\n {2}one: compensated$/,
    );
    expect(await failureOf(() => expect(bug).toHaveCompleted())).toMatch(/but it is stuck \(code\): .*oops/);
    expect(await failureOf(() => expect(well).toHaveCompleted({ parts: [1] }))).toContain('its result is another one');
    expect(await failureOf(() => assertCompensated(refused, 'one'))).toMatch(
      /to have compensated one, but it has compensated two, one\.$/,
    );
    expect(await failureOf(() => expect(bug).toBeStuck('pivot' as never))).toContain('but it is stuck (code');
    expect(await failureOf(() => assertStuck(well))).toContain('but it is completed');
    await expect(assertStuck(well)).rejects.toBeInstanceOf(AssertionError);
  });

  it('elsewhere tell their state, and no order', async () => {
    const run = await start('refused');
    const elsewhere = { id: run.id, status: () => run.status() };
    await expect(elsewhere).toHaveCompensated();
    expect(await failureOf(() => expect(elsewhere).toHaveCompensated('two'))).toContain('cannot tell');
    expect(await failureOf(() => expect(elsewhere).toBeStuck())).toContain('but it is compensated');
  });
});
