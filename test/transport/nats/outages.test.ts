/**
 * NATS that goes away, comes back, has forgotten everything, is full or says nothing; and processes that die in the middle of a message.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { startNats, type NatsServer } from '../../../src/servers/nats.ts';
import { NEVER, numbers, recorder, rejection, silentServer } from '../../../src/testing/transport/kit.ts';
import { openLink } from '../../../src/transport/nats/link.ts';
import { createNatsTransport } from '../../../src/transport/nats/nats-transport.ts';
import { resolveNatsOptions } from '../../../src/transport/nats/options.ts';
import type { Verdict } from '../../../src/transport/port.ts';
import { eventually } from '../../support/eventually.ts';
import { programPath } from '../../support/programs.ts';
import { connectionTo, managerOf, openLab, SHORT } from './lab.ts';

const UNAVAILABLE = { code: 'HF_TRANSPORT_UNAVAILABLE' };

let server: NatsServer;
beforeAll(async () => {
  server = await startNats();
});
afterAll(() => server.dispose());

it('rejects what a killed server did not acknowledge, and goes on with what it holds when it is back', async () => {
  const lab = openLab(server.url);
  const got = recorder();
  await lab.receive(got.handle, { ordered: true });
  await lab.publish(0);
  await got.until((seen) => seen.length === 1);
  const batch = Array.from({ length: 3000 }, (_, n) => ({
    ...lab.message(n),
    destination: `${lab.destination}-unread`,
  }));
  const failure = (async () => {
    for (;;) {
      try {
        await lab.publisher.publish(batch, { signal: NEVER });
      } catch (error) {
        return error;
      }
    }
  })();
  await server.kill();
  expect(await failure).toMatchObject(UNAVAILABLE);
  expect(await rejection(lab.publisher.check({ signal: NEVER }))).toMatchObject(UNAVAILABLE);
  await server.start();
  await lab.publish(1, 2);
  await got.until((seen) => seen.some(({ n }) => n === 2));
  expect([...new Set(numbers(got.seen))]).toEqual([0, 1, 2]);
});

it('goes on after the server has forgotten streams and consumers', async () => {
  const lab = openLab(server.url);
  const got = recorder();
  await lab.receive(got.handle, { ordered: true });
  await lab.publish(0);
  await got.until((seen) => seen.length === 1);
  await server.kill();
  server.empty();
  await server.start();
  await lab.publish(1);
  await got.until((seen) => seen.some(({ n }) => n === 1));
});

it('goes on where a killed server has left half a stream, which it calls unhealthy', async () => {
  const lab = openLab(server.url);
  await lab.publish(0);
  await server.kill();
  // As if it had been killed while it made the stream: the folder is there, and what it should be is not written yet.
  const folder = join(server.store, 'jetstream', '$G', 'streams', lab.stream);
  for (const file of ['meta.inf', 'meta.sum']) rmSync(join(folder, file));
  rmSync(join(folder, 'msgs'), { recursive: true });
  await server.start();
  const got = recorder();
  await lab.receive(got.handle);
  await lab.publish(1);
  await got.until((seen) => seen.some(({ n }) => n === 1));
});

it('goes on after somebody has removed the stream, and its consumer, while it waits', async () => {
  const lab = openLab(server.url);
  const got = recorder();
  await lab.receive(got.handle);
  await lab.publish(0);
  await got.until((seen) => seen.length === 1);
  const manager = await managerOf(server);
  await manager.consumers.delete(lab.stream, 'holdfast');
  await lab.publish(1);
  await got.until((seen) => seen.length === 2);
  await manager.streams.delete(lab.stream);
  await lab.publish(2);
  await got.until((seen) => seen.some(({ n }) => n === 2));
});

it('makes a stream anew that somebody has removed while nobody reads', async () => {
  const lab = openLab(server.url, { publishTimeout: 200 });
  await lab.publish(0);
  const manager = await managerOf(server);
  await manager.streams.delete(lab.stream);
  await lab.publish(1);
  expect((await manager.streams.info(lab.stream)).state.messages).toBe(1);
});

it('sends the whole batch again when nobody led its stream for a moment, in its order', async () => {
  const lab = openLab(server.url, { publishTimeout: 60_000 });
  await lab.publish(0);
  const manager = await managerOf(server);
  const { config } = await manager.streams.info(lab.stream);
  await manager.streams.delete(lab.stream);
  const publishing = lab.publisher.publish(
    [1, 2, 3].map((n) => lab.message(n)),
    { signal: NEVER },
  );
  // Nobody has answered for the first of them, which goes alone.
  await new Promise((resolve) => setTimeout(resolve, 100));
  await manager.streams.add(config);
  expect(await publishing).toEqual([1, 2, 3].map(() => ({ kind: 'published' })));
  const got = recorder();
  await lab.receive(got.handle);
  await got.until((seen) => seen.length === 3);
  expect(numbers(got.seen)).toEqual([1, 2, 3]);
});

it('does not acknowledge a message that the server has handed out again meanwhile', async () => {
  const lab = openLab(server.url, { claimDuration: 30_000 });
  const free: (() => void)[] = [];
  const got = recorder(async () => {
    await new Promise<void>((resolve) => void free.push(resolve));
    return { kind: 'done' };
  });
  await lab.receive(got.handle, { concurrency: 2 });
  await lab.publish(1);
  await got.until((seen) => seen.length === 1);
  const nc = await connectionTo(server);
  // As if its claim had run out.
  nc.publish(`$JS.ACK.${lab.stream}.holdfast.1.1.1.1.0`, '-NAK');
  await got.until((seen) => seen.length === 2);
  expect(got.seen.map(({ delivery }) => delivery.signal.aborted)).toEqual([true, false]);
  free[0]!();
  const manager = await managerOf(server);
  await lab.publisher.check({ signal: NEVER });
  expect((await manager.consumers.info(lab.stream, 'holdfast')).num_ack_pending).toBe(1);
  free[1]!();
  await eventually(
    'the other to be acknowledged',
    async () => (await manager.streams.info(lab.stream)).state.messages === 0,
  );
});

it('starts without a server, and works once it is there', async () => {
  await server.stop();
  const lab = openLab(server.url);
  const got = recorder();
  const receiver = await lab.receive(got.handle);
  expect(await rejection(lab.publisher.publish([lab.message(1)], { signal: NEVER }))).toMatchObject(UNAVAILABLE);
  expect(await rejection(receiver.look!({ signal: NEVER }))).toMatchObject(UNAVAILABLE);
  await server.start();
  await lab.publish(2);
  await got.until((seen) => seen.length === 1);
  expect(got.seen[0]!.n).toBe(2);
});

it.each([
  ['idle', false],
  ['with a message whose handler ends meanwhile', true],
])('stops a receiver while the server is away: %s', async (_, busy) => {
  const lab = openLab(server.url);
  let finish = (): void => {};
  const got = recorder(async () => {
    await new Promise<void>((resolve) => void (finish = resolve));
    return { kind: 'done' };
  });
  const receiver = await lab.receive(got.handle);
  if (busy) {
    await lab.publish(1);
    await got.until((seen) => seen.length === 1);
  } else await lab.publisher.check({ signal: NEVER });
  await server.kill();
  const stopping = receiver.stop();
  finish();
  await stopping;
  await server.start();
});

it('says over the next link what became of a message of the one before', async () => {
  const lab = openLab(server.url, { claimDuration: 30_000 });
  let finish = (): void => {};
  const got = recorder(async () => {
    await new Promise<void>((resolve) => void (finish = resolve));
    return { kind: 'done' };
  });
  await lab.receive(got.handle);
  await lab.publish(1);
  await got.until((seen) => seen.length === 1);
  await server.kill();
  await lab.error(/does not hand out/);
  finish();
  await server.start();
  const manager = await managerOf(server);
  await eventually(
    'the message to be acknowledged',
    async () => (await manager.streams.info(lab.stream)).state.messages === 0,
  );
  expect(got.seen).toHaveLength(1);
});

it('makes publishers wait when a destination is full, and drops nothing old', async () => {
  const lab = openLab(server.url, { maxMessages: 120 });
  const failure = (async () => {
    for (let sent = 0; ; sent += 50) {
      const batch = Array.from({ length: 50 }, (_, n) => lab.message(sent + n));
      try {
        await lab.publisher.publish(batch, { signal: NEVER });
      } catch (error) {
        return error;
      }
    }
  })();
  expect(await failure).toMatchObject({
    ...UNAVAILABLE,
    message: expect.stringMatching(/maximum messages exceeded.*full/),
  });
  const got = recorder();
  await lab.receive(got.handle, { concurrency: 10 });
  await got.until((seen) => seen.length === 120);
  expect(numbers(got.seen).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 120 }, (_, n) => n));
  await lab.publish(-5);
  await got.until((seen) => seen.some(({ n }) => n === -5));
});

it('gives up a server that is connected and says nothing any more, and goes on when it does', async () => {
  const lab = openLab(server.url, { claimDuration: 1_000, publishTimeout: 500 });
  const got = recorder();
  const receiver = await lab.receive(got.handle);
  await lab.publish(0);
  await got.until((seen) => seen.length === 1);
  server.signal('SIGSTOP');
  try {
    const failure = (async () => {
      // The signal may overtake a message or two.
      for (;;) {
        try {
          await lab.publisher.publish([lab.message(1)], { signal: NEVER });
        } catch (error) {
          return error;
        }
      }
    })();
    expect(await failure).toMatchObject(UNAVAILABLE);
    await lab.error(/fallen silent|said nothing/);
    expect(await rejection(receiver.look!({ signal: AbortSignal.timeout(5_000) }))).toMatchObject(UNAVAILABLE);
  } finally {
    server.signal('SIGCONT');
  }
  await lab.publish(2);
  await got.until((seen) => seen.some(({ n }) => n === 2));
});

it('leaves no socket behind at a server that accepts and says nothing', async () => {
  const silent = await silentServer();
  onTestFinished(() => silent.close());
  const settings = resolveNatsOptions({ connection: `nats://127.0.0.1:${silent.port}`, publishTimeout: 50 }, 'test');
  const before = process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
  for (let attempt = 0; attempt < 5; attempt += 1)
    expect(await rejection(openLink(settings, new Set(), NEVER))).toMatchObject({
      message: expect.stringMatching(/said nothing/),
    });
  // Those of the server itself are in this process, too, and learn of the end a moment later.
  await eventually(
    'the sockets to be gone',
    async () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length <= before,
  );
});

it('counts deaths, and not what was put off, over all processes', async () => {
  const lab = openLab(server.url);
  await lab.publish(1);
  const seen: number[] = [];
  const take = async (verdict: 'hang' | Verdict): Promise<void> => {
    const taken = new Promise<void>((resolve) => {
      const transport = createNatsTransport({ connection: server.url, ...SHORT });
      const receiver = transport.receiver(
        lab.destination,
        async ({ redeliveries }) => {
          seen.push(redeliveries);
          setImmediate(
            () =>
              void receiver
                .stop({ signal: AbortSignal.timeout(50) })
                .then(() => transport.close())
                .then(resolve),
          );
          return verdict === 'hang' ? new Promise(() => {}) : verdict;
        },
        { concurrency: 1, ordered: true },
      );
      void receiver.start();
    });
    await taken;
  };
  const later: Verdict = { kind: 'later', delayMs: 0 };
  await take(later);
  await take(later);
  await take('hang');
  await take(later);
  await take('hang');
  await take({ kind: 'done' });
  expect(seen).toEqual([0, 0, 0, 1, 1, 2]);
});

it('gives the message of a process killed in the middle to another', async () => {
  const lab = openLab(server.url);
  await lab.publish(1, 2);
  for (let death = 0; death < 2; death += 1) {
    const child = fork(programPath('hanging-nats-consumer.ts'), [server.url, lab.destination]);
    const [message] = await once(child, 'message');
    expect(message).toEqual({ redeliveries: death });
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  const got = recorder();
  await lab.receive(got.handle, { ordered: true });
  await got.until((seen) => seen.length === 2);
  expect(numbers(got.seen)).toEqual([1, 2]);
  expect(got.seen[0]!.delivery.redeliveries).toBeGreaterThanOrEqual(2);
  expect(got.seen[1]!.delivery.redeliveries).toBe(0);
});

it('loses a claim that could not be renewed, tells the handler, and says nothing more of the message', async () => {
  const lab = openLab(server.url, { claimDuration: 300 });
  const got = recorder(async ({ delivery }) => {
    await new Promise<void>((resolve) => delivery.signal.addEventListener('abort', () => resolve()));
    return { kind: 'done' };
  });
  await lab.receive(got.handle);
  await lab.publish(1);
  await got.until((seen) => seen.length === 1);
  await server.kill();
  await eventually('the claim to be lost', async () => got.seen[0]!.delivery.signal.aborted);
  await server.start();
  const manager = await managerOf(server);
  expect((await manager.streams.info(lab.stream)).state.messages).toBe(1);
});

it('keeps a claim for as long as the handler works', async () => {
  const lab = openLab(server.url, { claimDuration: 300 });
  let finish = (): void => {};
  const got = recorder(async (_, all) => {
    if (all.length === 1) await new Promise<void>((resolve) => void (finish = resolve));
    return { kind: 'done' };
  });
  await lab.receive(got.handle, { concurrency: 2 });
  await lab.publish(1);
  await got.until((seen) => seen.length === 1);
  // Several times as long as the claim lasts by itself.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  finish();
  await lab.publish(2);
  await got.until((seen) => seen.some(({ n }) => n === 2));
  expect(numbers(got.seen)).toEqual([1, 2]);
  expect(got.seen[0]!.delivery.signal.aborted).toBe(false);
});
