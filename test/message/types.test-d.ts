/** Checked by tsc, never run: payload types are inferred at every use. */
import { expectTypeOf } from 'vitest';
import { z } from 'zod';
import { decodePayload } from '../../src/message/decode.ts';
import type { Envelope } from '../../src/message/envelope.ts';
import {
  encodeForSend,
  message,
  type EncodedMessage,
  type MessageType,
  type PayloadInput,
  type PayloadOf,
} from '../../src/message/message-type.ts';

const OrderPlaced = message('order.placed', {
  schema: z.object({
    orderId: z.string(),
    at: z.iso.datetime().transform((text) => new Date(text)),
    note: z.string().default(''),
  }),
  key: (order) => {
    expectTypeOf(order).toEqualTypeOf<{ orderId: string; at: Date; note: string }>();
    return order.orderId;
  },
});

expectTypeOf(OrderPlaced.topic).toEqualTypeOf<'order.placed'>();
expectTypeOf<PayloadInput<typeof OrderPlaced>>().toEqualTypeOf<{
  orderId: string;
  at: string;
  note?: string | undefined;
}>();
expectTypeOf<PayloadOf<typeof OrderPlaced>>().toEqualTypeOf<{ orderId: string; at: Date; note: string }>();

// Every message type is a MessageType, so lists of them need no casts.
expectTypeOf(OrderPlaced).toExtend<MessageType>();
const types: readonly MessageType[] = [OrderPlaced, message('a', { schema: z.string() })];
expectTypeOf(types[0]).toEqualTypeOf<MessageType | undefined>();

const limits = { maxBytes: 1 };
expectTypeOf(encodeForSend(OrderPlaced, { orderId: 'o-1', at: '2026-01-01T00:00:00Z' }, limits)).toEqualTypeOf<
  EncodedMessage | Promise<EncodedMessage>
>();
// @ts-expect-error: the payload is the input form, in which `at` is a text
void encodeForSend(OrderPlaced, { orderId: 'o-1', at: new Date() }, limits);
// @ts-expect-error: orderId is missing
void encodeForSend(OrderPlaced, { at: '' }, limits);
// @ts-expect-error: a key is a text
message('a', { schema: z.object({ n: z.number() }), key: (payload) => payload.n });
// @ts-expect-error: a schema is required
message('a', {});

declare const envelope: Envelope;
expectTypeOf(decodePayload(OrderPlaced, envelope)).resolves.toEqualTypeOf<{
  orderId: string;
  at: Date;
  note: string;
}>();

/** What send and on look like: the type of the payload follows from the message type. */
declare function send<Type extends MessageType>(type: Type, payload: PayloadInput<Type>): void;
declare function on<Type extends MessageType>(type: Type, handler: (payload: PayloadOf<Type>) => Promise<void>): void;
send(OrderPlaced, { orderId: 'o-1', at: '' });
// @ts-expect-error: wrong type
send(OrderPlaced, { orderId: 1, at: '' });
on(OrderPlaced, async (order) => {
  expectTypeOf(order).toEqualTypeOf<{ orderId: string; at: Date; note: string }>();
});
