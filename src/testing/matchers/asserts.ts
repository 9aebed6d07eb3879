/**
 * The matchers as plain functions, for node:test and whatever else has no `expect`: each throws an AssertionError that says what is there
 * instead.
 */
import { AssertionError } from 'node:assert';
import type { MessageType, PayloadInput } from '../../message/message-type.ts';
import type { StuckWhy } from '../../saga/journal/events.ts';
import { judgeHandled, judgeSent } from './judge-messages.ts';
import { judgeCompensated, judgeCompleted, judgeStuck } from './judge-runs.ts';
import type { PartOf } from './matchers.ts';
import type { MatcherVerdict } from './verdict.ts';

/**
 * A message of this type was committed to the outbox, with at least this in its payload.
 *
 * @throws AssertionError
 * @example
 * const test = testMessages();
 * await test.send(OrderPlaced, { orderId: 'o-1', total: 12 });
 * assertSent(test, OrderPlaced, { orderId: 'o-1' });
 */
export function assertSent<Type extends MessageType>(
  test: { readonly messages: readonly unknown[] },
  type: Type,
  payload?: PartOf<PayloadInput<Type>>,
): void {
  assertThat(judgeSent(test, { type, payload, times: null, matcher: 'assertSent' }), assertSent);
}

/**
 * The same, and so many times; 0: never.
 *
 * @throws AssertionError
 * @example
 * assertSentTimes(testMessages(), OrderPlaced, 0);
 */
export function assertSentTimes<Type extends MessageType>(
  test: { readonly messages: readonly unknown[] },
  type: Type,
  times: number,
  payload?: PartOf<PayloadInput<Type>>,
): void {
  assertThat(judgeSent(test, { type, payload, times, matcher: 'assertSentTimes' }), assertSentTimes);
}

/**
 * A consumer, or the one that is named, has handled such a message.
 *
 * @throws AssertionError
 * @example
 * const test = testMessages({ consumers: { billing: { handlers: [on(OrderPlaced, () => {})] } } });
 * await test.deliver(OrderPlaced, { orderId: 'o-1', total: 12 });
 * assertHandled(test, OrderPlaced, { orderId: 'o-1' }, { by: 'billing' });
 */
export function assertHandled<Type extends MessageType>(
  test: { readonly handled: readonly unknown[] },
  type: Type,
  payload?: PartOf<PayloadInput<Type>>,
  options: { readonly by?: string | undefined } = {},
): void {
  assertThat(judgeHandled(test, type, payload, options.by), assertHandled);
}

/**
 * The run has completed, with at least this in its result.
 *
 * @throws AssertionError
 * @example
 * const test = testSagas({ sagas: [placeOrder], participants: [respond(ReserveStock, { shelf: 'a' })] });
 * await assertCompleted(await test.start(placeOrder, { orderId: 'o-1' }));
 */
export async function assertCompleted(run: AskableRun, result?: unknown): Promise<void> {
  assertThat(await judgeCompleted(run, result), assertCompleted);
}

/**
 * The run is compensated; of one of `testSagas` also: these calls, in this order, and no others.
 *
 * @throws AssertionError
 * @example
 * const test = testSagas({ sagas: [placeOrder], participants: [respond(ReserveStock, () => reject('sold out'))] });
 * await assertCompensated(await test.start(placeOrder, { orderId: 'o-1' }));
 */
export async function assertCompensated(run: AskableRun, ...calls: readonly string[]): Promise<void> {
  assertThat(await judgeCompensated(run, calls), assertCompensated);
}

/**
 * The run is stuck; of one of `testSagas` also: for this reason.
 *
 * @throws AssertionError
 * @example
 * const test = testSagas({
 *   sagas: [placeOrder],
 *   participants: [
 *     respond(ReserveStock, () => {
 *       throw new TypeError('a bug');
 *     }),
 *   ],
 * });
 * const run = await test.start(placeOrder, { orderId: 'o-1' });
 * await assertStuck(run).catch((error) => console.log(error.message)); // it is compensated, and why
 */
export async function assertStuck(run: AskableRun, why?: StuckWhy): Promise<void> {
  assertThat(await judgeStuck(run, why), assertStuck);
}

/** A run of a saga, under test or on PostgreSQL. */
export interface AskableRun {
  readonly id: string;
  status(): Promise<unknown>;
}

function assertThat({ pass, message }: MatcherVerdict, by: (...args: never[]) => unknown): void {
  if (!pass) throw new AssertionError({ message: message(), stackStartFn: by });
}
