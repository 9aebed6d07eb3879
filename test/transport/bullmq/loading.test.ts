/**
 * The clients of brokers are loaded when somebody publishes or receives: what becomes of a publisher and a receiver when that fails, and
 * when they are closed or stopped meanwhile. On a real Redis.
 */
import { expect, it, onTestFinished } from 'vitest';
import { isHoldfastError } from '../../../src/errors.ts';
import { type BullmqBroker, loading } from '../../../src/transport/bullmq/broker.ts';
import { resolveBullmqOptions } from '../../../src/transport/bullmq/options.ts';
import { bullmqPublisher } from '../../../src/transport/bullmq/publisher.ts';
import { bullmqReceiver } from '../../../src/transport/bullmq/receiver.ts';
import { resolveRedisPlace } from '../../../src/transport/redis/redis-place.ts';
import { redisConnections } from '../../../src/transport/bullmq/redis-connections.ts';
import { destinationName, NEVER, outbound, recorder, rejection } from '../../../src/testing/transport/kit.ts';
import { sharedRedisUrl, uniquePrefix } from '../../support/servers.ts';

const settings = resolveBullmqOptions({ publishTimeout: 60_000 }, 'test');
const kind = 'bullmq-redis';

/** A broker that is loaded as `load` says, and the connections that were opened and closed again. */
function brokerOf(load: () => Promise<void>): { readonly broker: BullmqBroker; readonly open: () => number } {
  const links = redisConnections({
    place: resolveRedisPlace(sharedRedisUrl(), 'test'),
    prefix: uniquePrefix(),
    replicas: 0,
  });
  let open = 0;
  const counted = <Link extends { close(): Promise<void> }>(link: Link): Link => {
    open += 1;
    return {
      ...link,
      async close() {
        await link.close();
        open -= 1;
      },
    };
  };
  const broker: BullmqBroker = {
    kind,
    load: () =>
      loading(kind, async () => {
        await load();
        return {
          openPublisherConnection: (used) => counted(links.openPublisherConnection(used)),
          openReceiverConnection: (used) => counted(links.openReceiverConnection(used)),
        };
      }),
    dataOf: (wire) => wire,
    isMessageFault: () => false,
  };
  return { broker, open: () => open };
}

/** Fails as an import of what is not installed, once. */
function failingOnce(): () => Promise<void> {
  let tries = 0;
  return async () => {
    tries += 1;
    if (tries === 1) throw new Error("Cannot find package 'bullmq'");
  };
}

/** Loads that are held up until they are let go. */
function heldUp(): { readonly load: () => Promise<void>; readonly letGo: () => void } {
  let letGo = (): void => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  return { load: () => gate, letGo };
}

it('a publisher that could not be loaded says so, and loads again with its next batch', async () => {
  const { broker, open } = brokerOf(failingOnce());
  const publisher = bullmqPublisher(broker, settings);
  const batch = [outbound(destinationName(), 1)];
  const error = await rejection(publisher.publish(batch, { signal: NEVER }));
  expect(isHoldfastError(error, 'HF_TRANSPORT_UNAVAILABLE') && error.message).toContain("Cannot find package 'bullmq'");
  expect(await publisher.publish(batch, { signal: NEVER })).toEqual([{ kind: 'published' }]);
  await publisher.close();
  expect(open()).toBe(0);
});

it('a publisher that is closed while it is loaded publishes nothing and leaves no connection', async () => {
  const { load, letGo } = heldUp();
  const { broker, open } = brokerOf(load);
  const publisher = bullmqPublisher(broker, settings);
  const published = rejection(publisher.publish([outbound(destinationName(), 1)], { signal: NEVER }));
  const given = rejection(publisher.check({ signal: AbortSignal.abort() }));
  expect(isHoldfastError(await given, 'HF_TRANSPORT_UNAVAILABLE')).toBe(true);
  const closed = publisher.close();
  letGo();
  await closed;
  expect(isHoldfastError(await published, 'HF_STOPPED')).toBe(true);
  expect(isHoldfastError(await rejection(publisher.check({ signal: NEVER })), 'HF_STOPPED')).toBe(true);
  expect(open()).toBe(0);
});

it('a receiver that could not be loaded does not start, and does when it is started again', async () => {
  const { broker, open } = brokerOf(failingOnce());
  const { handle } = recorder();
  const receiver = bullmqReceiver({
    broker,
    settings,
    destination: destinationName(),
    handle,
    options: { concurrency: 1, ordered: false },
  });
  onTestFinished(() => receiver.stop());
  expect(isHoldfastError(await rejection(receiver.start()), 'HF_TRANSPORT_UNAVAILABLE')).toBe(true);
  expect(isHoldfastError(await rejection(Promise.resolve(receiver.look?.({ signal: NEVER }))), 'HF_STOPPED')).toBe(
    true,
  );
  await receiver.start();
  expect(await receiver.look?.({ signal: NEVER })).toMatchObject({ waiting: 0 });
  await receiver.stop();
  expect(open()).toBe(0);
});

it('a receiver that is stopped while it is loaded ends with it, and can be started again', async () => {
  const { load, letGo } = heldUp();
  const { broker, open } = brokerOf(load);
  const { handle } = recorder();
  const receiver = bullmqReceiver({
    broker,
    settings,
    destination: destinationName(),
    handle,
    options: { concurrency: 1, ordered: false },
  });
  onTestFinished(() => receiver.stop());
  const started = receiver.start();
  const stopped = receiver.stop();
  letGo();
  await Promise.all([started, stopped]);
  expect(open()).toBe(0);
  await receiver.start();
  expect(await receiver.look?.({ signal: NEVER })).toMatchObject({ waiting: 0 });
});
