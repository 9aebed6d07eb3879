/**
 * What goes wrong with a RabbitMQ, on a server of one node: each gives an error that says what to do, and what can go on does so by itself.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startRabbitmq, type RabbitmqServer } from '../../../src/servers/rabbitmq.ts';
import {
  ACKNOWLEDGED,
  destinationName,
  NEVER,
  numbers,
  outbound,
  publishAtLast,
  recorder,
  rejection,
} from '../../../src/testing/transport/kit.ts';
import type { Verdict } from '../../../src/transport/port.ts';
import { resolveRabbitmqOptions } from '../../../src/transport/rabbitmq/options.ts';
import { eventually } from '../../support/eventually.ts';
import { startTcpProxy } from '../../support/faults/tcp-proxy.ts';
import { receiveFrom } from '../receive-from.ts';
import { openTransport, outboundMessages, plainChannel, receiveWith } from './bench.ts';
import { CERTIFICATE, openTlsDoor } from './tls-door.ts';

const START_MS = 180_000;
/** Where the broker is away, and its silence is waited for. */
const IMPATIENT = { publishTimeout: '2s', heartbeat: '1s' } as const;
const UNAVAILABLE = { code: 'HF_TRANSPORT_UNAVAILABLE' };
const LIMIT = 200_000;

let server: RabbitmqServer;
beforeAll(async () => {
  server = await startRabbitmq({
    config: [`max_message_size = ${LIMIT}`],
    definitions: {
      vhosts: [{ name: '/' }, { name: 'orders' }],
      users: [
        { name: 'guest', password: 'guest', tags: 'administrator' },
        { name: 'app', password: 'secret', tags: '' },
        { name: 'bystander', password: 'secret', tags: '' },
        { name: 'user', password: 'secret', tags: '' },
      ],
      permissions: [
        { user: 'guest', vhost: '/', configure: '.*', write: '.*', read: '.*' },
        { user: 'guest', vhost: 'orders', configure: '.*', write: '.*', read: '.*' },
        { user: 'app', vhost: 'orders', ...documentedRights() },
        { user: 'bystander', vhost: 'orders', configure: '^$', write: '^$', read: '^$' },
        { user: 'user', vhost: 'orders', configure: '^$', write: '^amq\\.default$', read: '^holdfast\\.' },
      ],
      policies: [
        {
          vhost: '/',
          name: 'full',
          pattern: '^full\\.',
          'apply-to': 'queues',
          definition: { 'max-length': 3 },
          priority: 0,
        },
      ],
    },
  });
}, START_MS);
afterAll(() => server.dispose());

/** What docs/transports.md grants. */
function documentedRights(): { readonly configure: string; readonly write: string; readonly read: string } {
  const page = readFileSync(new URL('../../../docs/transports.md', import.meta.url), 'utf8');
  const line = /<!-- rights: tested -->\s*```sh\n(.*set_permissions.*)\n```/.exec(page)?.[1] ?? '';
  const [configure, write, read] = [...line.matchAll(/'([^']*)'/g)].map(([, pattern]) => pattern ?? '');
  if (configure === undefined || write === undefined || read === undefined) throw new Error('no rights on the page');
  return { configure, write, read };
}

const as = (user: string, vhost: string): string =>
  server.url.replace('guest:guest', `${user}:secret`).replace(/(:\d+)$/, `$1/${vhost}`);

describe('a broker that goes away', () => {
  it('rejects what a killed server did not confirm, and all goes on by itself when it is back with nothing', async () => {
    const destination = destinationName();
    const { transport } = openTransport(server.url, { ...IMPATIENT, otherQueues: { ordered: true } });
    const publisher = transport.publisher();
    const got = recorder();
    await receiveFrom(transport, destination, got.handle, { ordered: true });
    await publishAtLast(publisher, [outbound(destination, 0)]);
    await got.until((seen) => seen.length === 1);
    const batches = (async () => {
      for (;;) {
        try {
          await publisher.publish(outboundMessages(`${destination}-unread`, 500), { signal: NEVER });
        } catch (error) {
          return error;
        }
      }
    })();
    await server.nodes[0]?.kill();
    expect(await batches).toMatchObject(UNAVAILABLE);
    expect(await rejection(publisher.check({ signal: NEVER }))).toMatchObject(UNAVAILABLE);
    // A receiver can be stopped and started meanwhile.
    const other = await receiveFrom(transport, destinationName(), got.handle);
    expect(await rejection(Promise.resolve(other.look?.({ signal: NEVER })))).toMatchObject(UNAVAILABLE);
    await other.stop();
    await server.nodes[0]?.start({ empty: true });
    await publishAtLast(publisher, [outbound(destination, 1, { key: 'k' }), outbound(destination, 2, { key: 'k' })]);
    await got.until((seen) => seen.some(({ n }) => n === 2));
    expect([...new Set(numbers(got.seen))]).toEqual([0, 1, 2]);
  });

  it('is found out when it falls silent, by publisher and receiver, which then go on elsewhere', async () => {
    const proxy = await startTcpProxy(server.url);
    onTestFinished(() => proxy.close());
    const destination = destinationName();
    const { transport } = openTransport(proxy.url, IMPATIENT);
    const publisher = transport.publisher();
    const aborted: number[] = [];
    const got = recorder(({ n, delivery }, all): Promise<Verdict> | Verdict => {
      if (n !== 1 || all.filter((seen) => seen.n === 1).length > 1) return ACKNOWLEDGED;
      return new Promise((resolve) =>
        delivery.signal.addEventListener('abort', () => {
          aborted.push(n);
          resolve(ACKNOWLEDGED);
        }),
      );
    });
    await receiveFrom(transport, destination, got.handle);
    await publisher.publish(outboundMessages(destination, 2), { signal: NEVER });
    await got.until((seen) => seen.some(({ n }) => n === 1));
    proxy.darken();
    expect(await rejection(publisher.publish([outbound(destination, 2)], { signal: NEVER }))).toMatchObject(
      UNAVAILABLE,
    );
    // The handler hears that the message is not its own any more, and it comes again.
    await got.until((seen) => seen.filter(({ n }) => n === 1).length === 2);
    expect(aborted).toEqual([1]);
    expect(got.seen.at(-1)?.delivery.redeliveries).toBe(1);
  });

  it('takes nothing while it has an alarm, which is an outage; consumers go on', async () => {
    const destination = destinationName();
    const { transport } = openTransport(server.url, { publishTimeout: '3s' });
    const publisher = transport.publisher();
    const gate: (() => void)[] = [];
    const got = recorder(async () => {
      await new Promise<void>((resolve) => gate.push(resolve));
      return ACKNOWLEDGED;
    });
    await receiveFrom(transport, destination, got.handle);
    await publisher.publish(outboundMessages(destination, 2), { signal: NEVER });
    await got.until((seen) => seen.length === 1);
    server.ctl(['set_vm_memory_high_watermark', '0']);
    try {
      const refusal = await eventually('the alarm', async () =>
        publisher.publish([outbound(`${destination}-more`, 3)], { signal: NEVER }).then(
          () => undefined,
          (error: unknown) => error,
        ),
      );
      expect(refusal).toMatchObject({ ...UNAVAILABLE, message: expect.stringMatching(/alarm|no answer/) as string });
      expect(await rejection(publisher.check({ signal: NEVER }))).toMatchObject(UNAVAILABLE);
      // Acknowledgements are heard, and the next message is handed out.
      gate.shift()?.();
      await got.until((seen) => seen.length === 2);
    } finally {
      server.ctl(['set_vm_memory_high_watermark', '0.4']);
    }
    gate.shift()?.();
    await publishAtLast(publisher, [outbound(destination, 9)]);
    await got.until((seen) => seen.some(({ n }) => n === 9));
    gate.shift()?.();
  });
});

describe('a broker that lets nobody in', () => {
  const failureOf = async (connection: string, more: object = {}): Promise<unknown> => {
    const { transport } = openTransport(connection, { ...IMPATIENT, ...more });
    const looked = recorder();
    const receiver = await receiveFrom(transport, 'any', looked.handle);
    const failure = await rejection(transport.publisher().publish([outbound('any', 1)], { signal: NEVER }));
    await eventually('the receiver to say it', async () =>
      receiver.look?.({ signal: NEVER }).then(
        () => false,
        (error: unknown) => JSON.stringify(error) !== '' && !String(error).includes('no answer yet'),
      ),
    );
    await receiver.stop();
    return failure;
  };

  it.each([
    [
      'a wrong password',
      () => as('app', 'orders').replace('secret', 'wrong'),
      /ACCESS_REFUSED.*Check user and password/,
    ],
    ['no such virtual host', () => as('app', 'nowhere'), /not let into the virtual host.*rights in it/],
    ['a virtual host of others', () => as('app', '%2F'), /not let into the virtual host.*rights in it/],
    ['TLS on a plain port', () => server.url.replace('amqp:', 'amqps:'), /does not speak TLS/],
  ])('says what to do about %s', async (_, url, words) => {
    const failure = await failureOf(url());
    expect(failure).toMatchObject(UNAVAILABLE);
    expect(String(failure)).toMatch(words);
    expect(String(failure)).not.toMatch(/secret|wrong@|guest:guest/);
  });

  it('speaks TLS, and says what is wrong with it', async () => {
    const port = await openTlsDoor(server.nodes[0]?.port ?? 0);
    const secure = `amqps://guest:guest@127.0.0.1:${port}`;
    expect(String(await failureOf(secure))).toMatch(/certificate.*tls\.ca/);
    expect(String(await failureOf(secure.replace('amqps', 'amqp')))).toMatch(/use amqps/);
    const destination = destinationName();
    const { transport } = openTransport(secure, { tls: { ca: CERTIFICATE } });
    const got = recorder();
    await receiveFrom(transport, destination, got.handle);
    await transport.publisher().publish(outboundMessages(destination, 3), { signal: NEVER });
    await got.until((seen) => seen.length === 3);
  });
});

describe('rights', () => {
  it('needs those of the page, and no others, for order, partitions, later and status', async () => {
    const destination = destinationName();
    const plain = destinationName();
    const queues = { [destination]: { ordered: true, partitions: 2 } };
    const { transport, errors } = openTransport(as('app', 'orders'), { queues });
    const got = recorder((_seen, all) => (all.length <= 2 ? { kind: 'later', delayMs: 90 } : ACKNOWLEDGED));
    await receiveFrom(transport, destination, got.handle, { ordered: true });
    await receiveFrom(transport, plain, got.handle);
    const batch = [...outboundMessages(destination, 4, 'k'), ...outboundMessages(plain, 4)];
    expect(await transport.publisher().publish(batch, { signal: NEVER })).toEqual(
      batch.map(() => ({ kind: 'published' })),
    );
    await got.until((seen) => seen.length === batch.length + 2);
    expect((await transport.queues?.({ signal: NEVER }))?.queues).toHaveLength(2);
    expect(errors).toEqual([]);
  });

  it('says which are missing, to publisher and receiver', async () => {
    const { transport, errors } = openTransport(as('bystander', 'orders'));
    await receiveFrom(transport, 'theirs', recorder().handle);
    const failure = await rejection(transport.publisher().check({ signal: NEVER }));
    expect(String(failure)).toMatch(/ACCESS_REFUSED.*amq\.default.*Grant/);
    await eventually('the receiver to say it', async () =>
      errors.some((error) => /theirs.*ACCESS_REFUSED.*Grant|ACCESS_REFUSED.*theirs/.test(String(error))),
    );
  });

  it('works on queues that were made before, without a right to make any', async () => {
    const destination = destinationName();
    const maker = openTransport(as('app', 'orders'));
    await maker.transport.publisher().publish([outbound(destination, 0)], { signal: NEVER });
    const { transport } = openTransport(as('user', 'orders'), { declare: false });
    const got = recorder((_, all) => (all.length === 1 ? { kind: 'later', delayMs: 120 } : ACKNOWLEDGED));
    await receiveFrom(transport, destination, got.handle);
    const [outcome, missing] = await transport
      .publisher()
      .publish([outbound(destination, 1), outbound('not-made', 2)], { signal: NEVER });
    expect(outcome).toEqual({ kind: 'published' });
    expect(missing).toMatchObject({ kind: 'refused', permanent: false });
    // There is no queue that could hold it for a time, so it is held in hand.
    await got.until((seen) => new Set(numbers(seen)).size === 2 && seen.length === 3);
    expect(got.seen.map(({ delivery }) => delivery.redeliveries)).toEqual([0, 0, 0]);
  });
});

describe('a queue that is not as it must be', () => {
  it('is refused when somebody else has made it otherwise, to publisher and receiver, and nothing else is', async () => {
    const [theirs, fine] = [destinationName(), destinationName()];
    await (await plainChannel(server.url)).assertQueue(`holdfast.${theirs}`, { durable: true });
    const { transport, errors } = openTransport(server.url);
    const outcomes = await transport.publisher().publish([outbound(theirs, 1), outbound(fine, 2)], { signal: NEVER });
    expect(outcomes[0]).toMatchObject({ kind: 'refused', permanent: false });
    expect(String(outcomes[0]?.kind === 'refused' && outcomes[0].error)).toMatch(/inequivalent arg.*delete_queue/);
    expect(outcomes[1]).toEqual({ kind: 'published' });
    const receiver = await receiveFrom(transport, theirs, recorder().handle);
    await eventually('the receiver to say it', async () =>
      errors.some((error) => /inequivalent arg/.test(String(error))),
    );
    expect(String(await rejection(Promise.resolve(receiver.look?.({ signal: NEVER }))))).toMatch(/does not hand out/);
  });

  it('is told when publisher and consumer were told otherwise of the order; what is published is not lost', async () => {
    const destination = destinationName();
    const unordered = openTransport(server.url);
    const ordered = openTransport(server.url, { queues: { [destination]: { ordered: true } } });
    await unordered.transport.publisher().publish([outbound(destination, 1)], { signal: NEVER });
    await receiveFrom(ordered.transport, destination, recorder().handle, { ordered: true });
    await eventually('the receiver to say it', async () =>
      ordered.errors.some((error) => /"ordered"/.test(String(error))),
    );
    expect(await ordered.transport.publisher().publish([outbound(destination, 2)], { signal: NEVER })).toEqual([
      { kind: 'published' },
    ]);
    const got = recorder();
    await receiveFrom(unordered.transport, destination, got.handle);
    await got.until((seen) => seen.length === 2);
    const mixed = openTransport(server.url, { queues: { other: { ordered: true } } });
    expect(() => mixed.transport.receiver(destination, got.handle, { concurrency: 1, ordered: true })).toThrow(
      /is ordered, and its queue is not.*ordered: true/,
    );
  });

  it('refuses for now what a full queue does not take, and drops nothing', async () => {
    const destination = destinationName();
    const { transport } = openTransport(server.url, { prefix: 'full.' });
    const publisher = transport.publisher();
    const published: number[] = [];
    for (let n = 0; n < 20; n += 1) {
      const [outcome] = await publisher.publish([outbound(destination, n)], { signal: NEVER });
      if (outcome?.kind === 'published') published.push(n);
      else
        expect(outcome).toMatchObject({
          permanent: false,
          error: { message: expect.stringContaining('full') as string },
        });
    }
    expect(published.length).toBeGreaterThanOrEqual(3);
    expect(published.length).toBeLessThan(20);
    const got = recorder();
    await receiveFrom(transport, destination, got.handle);
    await got.until((seen) => seen.length === published.length);
    expect(numbers(got.seen)).toEqual(published);
  });

  it('is made again when it was deleted, by publisher and receiver', async () => {
    const destination = destinationName();
    const { transport } = openTransport(server.url);
    const publisher = transport.publisher();
    await publisher.publish([outbound(destination, 0)], { signal: NEVER });
    const channel = await plainChannel(server.url);
    await channel.deleteQueue(`holdfast.${destination}`);
    expect(await publisher.publish(outboundMessages(destination, 3), { signal: NEVER })).toEqual(
      [0, 1, 2].map(() => ({ kind: 'published' })),
    );
    const got = recorder();
    const settings = { ...resolveRabbitmqOptions({ connection: server.url }), lookAfterMs: 200 };
    receiveWith(settings, destination, got.handle, false);
    await got.until((seen) => seen.length === 3);
    expect(numbers(got.seen)).toEqual([0, 1, 2]);
    // RabbitMQ tells the consumer, or forgets it without a word where the queue is there again at once. What was published in such a
    // moment may be gone with the queue.
    for (let round = 0; round < 4; round += 1) {
      await channel.deleteQueue(`holdfast.${destination}`);
      const before = got.seen.length;
      await eventually('the consumer to be back', async () => {
        await publishAtLast(publisher, [outbound(destination, 7)]);
        return got.seen.length > before;
      });
    }
  });
});

describe('messages', () => {
  it('that are too large for the broker are refused for good, alone, however large the transport lets them be', async () => {
    const destination = destinationName();
    const { transport } = openTransport(server.url);
    const publisher = transport.publisher();
    const huge = (n: number) =>
      outbound(destination, n, { wire: JSON.stringify({ data: { n, x: 'x'.repeat(LIMIT) } }) });
    for (let round = 0; round < 2; round += 1) {
      const outcomes = await publisher.publish([outbound(destination, 0), huge(1), outbound(destination, 2), huge(3)], {
        signal: NEVER,
      });
      expect(outcomes.map(({ kind }) => kind)).toEqual(['published', 'refused', 'published', 'refused']);
      expect(outcomes[1]).toMatchObject({ permanent: true });
    }
    const got = recorder();
    await receiveFrom(transport, destination, got.handle);
    await got.until((seen) => seen.filter(({ n }) => n === 2).length === 2);
    expect(new Set(numbers(got.seen))).toEqual(new Set([0, 2]));
  });
});
