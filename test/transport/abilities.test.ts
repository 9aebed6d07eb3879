/** What a transport says it can do is held against what it is asked to. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/index.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { resolveSubscription } from '../../src/relay/subscription/options.ts';
import { createSagaReplies } from '../../src/saga/protocol/replies.ts';
import { assertAble, type TransportAbilities } from '../../src/transport/abilities.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import type { Transport } from '../../src/transport/port.ts';

const Placed = message('order.placed', { schema: z.object({}) });
const SINK = { receives: false, orders: false } as TransportAbilities;
const UNORDERED = { receives: true, orders: false } as TransportAbilities;
const saying = (abilities: TransportAbilities | undefined): Transport => ({
  ...createMemoryTransport(),
  kind: 'carrier-pigeon',
  abilities,
});
const refused = (said: string) =>
  expect.objectContaining({ code: 'HF_CONFIG', message: expect.stringContaining(said) });

/** Opens nothing. */
const database = openDatabase({ url: 'postgres://localhost/nowhere' });
const consume = (transport: Transport, ordered?: boolean) =>
  createConsumer('billing', { database, transport, ordered, handlers: [on(Placed, async () => {})] });
const subscribe = (transport: Transport, ordered?: boolean) =>
  resolveSubscription({ name: 'main', transport, routes: [{ topics: '**', to: 'billing', ordered }] });

describe('a transport', () => {
  it('that only sends has no consumers, and no replies', () => {
    const transport = saying(SINK);
    expect(() => consume(transport)).toThrow(refused("consumer('billing') is to receive from carrier-pigeon"));
    expect(() => createSagaReplies({ database, transport })).toThrow(refused('is to receive from carrier-pigeon'));
    expect(() => subscribe(transport)).not.toThrow();
  });

  it('that keeps no order has neither ordered consumers nor ordered routes', () => {
    const transport = saying(UNORDERED);
    expect(() => consume(transport, true)).toThrow(refused('is ordered, and carrier-pigeon keeps no order'));
    expect(() => subscribe(transport, true)).toThrow(refused("subscription 'main' is ordered"));
    expect(() => consume(transport)).not.toThrow();
    expect(() => subscribe(transport)).not.toThrow();
  });

  it('that says nothing can do all that the port asks for', () => {
    expect(() => consume(saying(undefined), true)).not.toThrow();
    expect(() => subscribe(saying(undefined), true)).not.toThrow();
  });

  it.each([
    [SINK, {}, null],
    [SINK, { receive: true }, 'which can only be sent to'],
    [UNORDERED, { receive: true, order: false }, null],
    [UNORDERED, { receive: true, order: true }, 'keeps no order'],
  ] as const)('%j asked for %j', (abilities, needs, said) => {
    const ask = (): void => assertAble({ kind: 'x', abilities }, needs, 'Somebody');
    if (said === null) expect(ask).not.toThrow();
    else expect(ask).toThrow(refused(said));
  });
});
