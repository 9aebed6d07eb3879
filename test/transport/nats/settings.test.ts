/**
 * NATS that is set up otherwise than a transport needs it, or lets it do less: each is an error that says what to do. And what operators see.
 */
import { credsAuthenticator, headers } from '@nats-io/transport-node';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startNats, type NatsServer } from '../../../src/servers/nats.ts';
import { NEVER, numbers, recorder, rejection } from '../../../src/testing/transport/kit.ts';
import { keepsToBytes } from '../../../src/transport/nats/streams.ts';
import { eventually } from '../../support/eventually.ts';
import { connectionTo, managerOf, openLab, type NatsLab } from './lab.ts';

const UNAVAILABLE = { code: 'HF_TRANSPORT_UNAVAILABLE' };

let server: NatsServer;
beforeAll(async () => {
  server = await startNats();
});
afterAll(() => server.dispose());

const failureOf = (lab: NatsLab): Promise<unknown> =>
  rejection(lab.publisher.publish([lab.message(1)], { signal: NEVER }));

async function serverWith(options: Parameters<typeof startNats>[0]): Promise<NatsServer> {
  const started = await startNats(options);
  onTestFinished(() => started.dispose());
  return started;
}

describe('a stream of that name that is there already', () => {
  it.each([
    [/retention is 'limits'/, { retention: 'limits' }],
    [/discards old messages/, { max_msgs: 10, discard: 'old' }],
    [/by their age/, { max_age: 60_000_000_000 }],
    [/old messages of a subject/, { max_msgs_per_subject: 5, discard: 'old' }],
    [/does not acknowledge/, { no_ack: true }],
    [/does not have the subjects/, { subjects: ['something.else'] }],
  ])('is refused, with what is wrong, by publishers and receivers: %s', async (pattern, settings) => {
    const lab = openLab(server.url);
    const manager = await managerOf(server);
    await manager.streams.add({
      name: lab.stream,
      subjects: [`holdfast.${lab.destination}.*.*`],
      retention: 'workqueue',
      ...(settings as object),
    });
    onTestFinished(async () => void (await manager.streams.delete(lab.stream)));
    expect(await failureOf(lab)).toMatchObject({ ...UNAVAILABLE, message: expect.stringMatching(pattern) });
    await lab.receive(recorder().handle);
    expect(await lab.error(pattern)).toMatchObject({ ...UNAVAILABLE, advice: expect.stringContaining('Change it') });
  });

  it('is refused with a limit in bytes where the server drops old messages at it', async () => {
    const lab = openLab(server.url, { maxBytes: 1_000_000 });
    const { version = '' } = (await connectionTo(server)).info ?? {};
    const outcome = lab.publisher.publish([lab.message(1)], { signal: NEVER });
    if (keepsToBytes(version)) expect(await outcome).toEqual([{ kind: 'published' }]);
    else expect(await rejection(outcome)).toMatchObject({ message: expect.stringContaining('max_bytes') });
  });

  it('is used and told of when it is not as it was asked for and loses nothing', async () => {
    const manager = await managerOf(server);
    const lab = openLab(server.url, { duplicateWindow: '10m' });
    await manager.streams.add({
      name: lab.stream,
      subjects: [`holdfast.${lab.destination}.>`],
      retention: 'workqueue',
      storage: 'memory',
    });
    await lab.publish(1);
    expect((await lab.error(/storage is 'memory'.*knows ids again/)).message).toContain(
      'not as this transport was told',
    );
    const got = recorder();
    const receiver = await lab.receive(got.handle);
    await got.until((seen) => seen.length === 1);
    const { remarks } = await receiver.look!({ signal: NEVER });
    expect(remarks.map(({ check }) => check)).toEqual(['queue.settings', 'queue.settings', 'queue.durability']);
  });
});

describe('consumers of a destination', () => {
  it('of somebody else are named, and waited for', async () => {
    const lab = openLab(server.url);
    await lab.publish(1);
    const manager = await managerOf(server);
    await manager.consumers.add(lab.stream, { durable_name: 'theirs', ack_policy: 'explicit' });
    const got = recorder();
    const receiver = await lab.receive(got.handle);
    expect((await lab.error(/theirs of somebody else/)).message).toContain('remove it');
    expect(await rejection(receiver.look!({ signal: NEVER }))).toMatchObject(UNAVAILABLE);
    await manager.consumers.delete(lab.stream, 'theirs');
    await got.until((seen) => seen.length === 1);
  });

  it('that read otherwise are told of while they read, and replaced when they are gone', async () => {
    const lab = openLab(server.url);
    const before = recorder();
    const unordered = await lab.receive(before.handle);
    await lab.publish(1);
    await before.until((seen) => seen.length === 1);
    const got = recorder();
    await lab.receive(got.handle, { ordered: true });
    await lab.error(/is read without order by others/);
    await lab.publish(2);
    await before.until((seen) => seen.length === 2);
    await unordered.stop();
    await lab.publish(3, 4);
    await got.until((seen) => seen.length === 2);
    expect(numbers(got.seen)).toEqual([3, 4]);
  });

  it('hand on what another way of reading had in hand when it died', async () => {
    const lab = openLab(server.url);
    const hanging = recorder(() => new Promise(() => {}));
    const ordered = await lab.receive(hanging.handle, { ordered: true });
    await lab.publish(1, 2);
    await hanging.until((seen) => seen.length === 1);
    await ordered.stop({ signal: AbortSignal.abort(new Error('dead')) });
    const got = recorder();
    await lab.receive(got.handle);
    await got.until((seen) => new Set(numbers(seen)).size === 2);
  });

  it('with our name and a way of their own are told of', async () => {
    const lab = openLab(server.url);
    await lab.publish(1);
    const manager = await managerOf(server);
    await manager.consumers.add(lab.stream, {
      durable_name: 'holdfast',
      ack_policy: 'explicit',
      deliver_subject: 'elsewhere',
      filter_subject: `holdfast.${lab.destination}.*.*`,
    });
    await lab.receive(recorder().handle);
    await lab.error(/is not one of Holdfast's.*no message is lost/);
  });

  it('get the claim that a receiver was told, though they were made with another', async () => {
    const lab = openLab(server.url);
    await (await lab.receive(recorder().handle)).stop();
    const other = openLab(server.url, { claimDuration: '20s' });
    const receiver = other.transport.receiver(lab.destination, recorder().handle, { concurrency: 1, ordered: false });
    await receiver.start();
    const manager = await managerOf(server);
    await eventually('the claim to change', async () => {
      const found = await manager.consumers.info(lab.stream, 'holdfast').catch(() => undefined);
      return found?.config.ack_wait === 20_000_000_000;
    });
  });
});

describe('strangers', () => {
  it('who write bytes, headers and much of it reach the handler as text, and nothing stops', async () => {
    const lab = openLab(server.url);
    await lab.publish(0);
    const nc = await connectionTo(server);
    const strange = headers();
    strange.append('Nats-Msg-Id', 'of somebody');
    strange.append('x', 'y'.repeat(10_000));
    const subject = `holdfast.${lab.destination}.1.0`;
    nc.publish(subject, Uint8Array.of(0, 255, 254, 10, 13), { headers: strange });
    nc.publish(subject, new Uint8Array(0));
    nc.publish(subject, 'z'.repeat(1_000_000));
    // Somebody who publishes to a partition that there is not.
    nc.publish(`holdfast.${lab.destination}.x.y`, '{}');
    await nc.flush();
    await lab.publish(1);
    const got = recorder();
    await lab.receive(got.handle, { concurrency: 10 });
    await got.until((seen) => seen.length === 6);
    expect(got.seen.map(({ delivery }) => typeof delivery.wire)).toEqual(Array.from({ length: 6 }, () => 'string'));
    expect(got.seen.filter(({ n }) => n >= 0)).toHaveLength(2);
  });

  it('of the application, a message larger than the server takes, is refused for good and alone', async () => {
    const lab = openLab(server.url);
    const large = lab.message(1, { wire: JSON.stringify({ filler: 'ü'.repeat(600_000) }) });
    const outcomes = await lab.publisher.publish([lab.message(0), large, lab.message(2)], { signal: NEVER });
    expect(outcomes).toMatchObject([
      { kind: 'published' },
      {
        kind: 'refused',
        permanent: true,
        error: { code: 'HF_MESSAGE_REFUSED', message: expect.stringContaining('max_payload') },
      },
      { kind: 'published' },
    ]);
    // As large as it can be, to the byte.
    const { id } = large;
    const most = 1024 * 1024 - 'NATS/1.0\r\nNats-Msg-Id: \r\n\r\n'.length - id.length;
    const fitting = (bytes: number) => ({ ...large, wire: `{"filler":"${'x'.repeat(bytes - 13)}"}` });
    expect(await lab.publisher.publish([fitting(most)], { signal: NEVER })).toEqual([{ kind: 'published' }]);
    expect(await lab.publisher.publish([fitting(most + 1)], { signal: NEVER })).toMatchObject([{ kind: 'refused' }]);
    const manager = await managerOf(server);
    await manager.streams.update(lab.stream, { max_msg_size: 500 });
    const tooLargeForStream = { ...lab.message(3), wire: `{"filler":"${'x'.repeat(600)}"}` };
    // Each no stands at the place of its message, whoever has said it.
    expect(await lab.publisher.publish([large, tooLargeForStream, lab.message(4)], { signal: NEVER })).toMatchObject([
      { kind: 'refused', permanent: true, error: { message: expect.stringContaining('max_payload') } },
      { kind: 'refused', permanent: true, error: { message: expect.stringContaining('max_msg_size') } },
      { kind: 'published' },
    ]);
  });
});

describe('a server that lets us do less', () => {
  it('says that it has no JetStream', async () => {
    const plain = await serverWith({
      config:
        'no_auth_user: guest\naccounts { A { users: [{ user: guest, password: guest }] }, SYS { users: [{ user: sys, password: sys }] } }\nsystem_account: SYS',
    });
    expect(await failureOf(openLab(plain.url))).toMatchObject({
      ...UNAVAILABLE,
      advice: expect.stringContaining('JetStream'),
    });
  });

  it('refuses a password without saying it in the error', async () => {
    const locked = await serverWith({ config: 'authorization { user: me, password: secret }' });
    const lab = openLab(locked.url.replace('//', '//me:not-so-secret@'));
    expect(lab.transport.address).toBe(`nats 127.0.0.1:${locked.port} prefix holdfast`);
    const failure = await failureOf(lab);
    expect(failure).toMatchObject({ ...UNAVAILABLE, advice: expect.stringContaining('password') });
    const receiver = await lab.receive(recorder().handle);
    const told = await lab.error(/Authorization/i);
    const looked = await rejection(receiver.look!({ signal: NEVER }));
    for (const error of [failure, told, looked]) expect(JSON.stringify([String(error), error])).not.toContain('secret');
    const good = openLab(locked.url.replace('//', '//me:secret@'));
    await good.publish(1);
    const token = openLab({
      servers: locked.url,
      authenticator: credsAuthenticator(new TextEncoder().encode('nonsense')),
    });
    expect(await failureOf(token)).toMatchObject(UNAVAILABLE);
  });

  it('has just the rights of the documentation, with which everything works', async () => {
    const page = readFileSync(new URL('../../../docs/transports.md', import.meta.url), 'utf8');
    const rights = /<!-- nats rights: tested -->\s*```\n([\s\S]*?)\n```/.exec(page)?.[1];
    const limited = await serverWith({
      config: `accounts { A { jetstream: enabled, users: [{ user: me, password: p, ${rights} }, { user: root, password: r }] } }`,
    });
    const lab = openLab(limited.url.replace('//', '//me:p@'), { queues: {} });
    const got = recorder((_, all) => (all.length === 1 ? { kind: 'later', delayMs: 10 } : { kind: 'done' }));
    const receiver = await lab.receive(got.handle, { ordered: true, owner: 'a database' });
    await lab.publisher.check({ signal: NEVER });
    await lab.publish(1, 2);
    await got.until((seen) => seen.length === 3);
    expect(got.seen.map(({ delivery }) => delivery.redeliveries)).toEqual([0, 0, 0]);
    expect(await receiver.look!({ signal: NEVER })).toMatchObject({ foreign: 0, remarks: [] });
    await receiver.stop();
    await lab.receive(got.handle);
    await lab.publish(3);
    await got.until((seen) => seen.length === 4);
    expect((await lab.transport.queues!({ signal: NEVER })).queues).toHaveLength(1);
    const manager = await managerOf(limited, { user: 'root', pass: 'r' });
    await eventually('the notes of what was put off to be gone', async () => {
      const { state } = await manager.streams.info('holdfast_notes', { subjects_filter: 'holdfast_notes.later.>' });
      return Object.keys(state.subjects ?? {}).length === 0;
    });
    expect(lab.errors.map(({ message }) => message).filter((message) => /Permissions/i.test(message))).toEqual([]);
  });

  it('says which right is missing', async () => {
    const limited = await serverWith({
      config:
        'accounts { A { jetstream: enabled, users: [{ user: me, password: p, permissions { publish: ["$JS.>", "holdfast_notes.>"], subscribe: [">"] } }] } }',
    });
    const lab = openLab(limited.url.replace('//', '//me:p@'));
    expect(await failureOf(lab)).toMatchObject({
      ...UNAVAILABLE,
      message: expect.stringMatching(/Permissions Violation.*holdfast\.dest/),
      advice: expect.stringContaining('docs/transports.md'),
    });
  });

  it('does not offer the TLS that was asked for', async () => {
    for (const connection of [server.url.replace('nats:', 'tls:'), { servers: server.url, tls: {} }])
      expect(await failureOf(openLab(connection))).toMatchObject({
        ...UNAVAILABLE,
        message: expect.stringMatching(/does not offer TLS.*'tls'/),
      });
  });

  it('has what was made for us, where a transport is to make nothing', async () => {
    const lab = openLab(server.url, { create: false, prefix: 'made' });
    expect(await failureOf(lab)).toMatchObject({ message: expect.stringContaining('no stream made-') });
    const manager = await managerOf(server);
    const stream = `made-${lab.destination}`;
    await manager.streams.add({
      name: stream,
      subjects: [`made.${lab.destination}.*.*`],
      retention: 'workqueue',
      discard: 'new',
    });
    expect(await failureOf(lab)).toMatchObject({ message: expect.stringContaining('no stream made_notes') });
    await manager.streams.add({
      name: 'made_notes',
      subjects: ['made_notes.>'],
      max_msgs_per_subject: 1,
      max_age: 14 * 86_400_000_000_000,
    });
    await lab.publish(1);
    const got = recorder();
    await lab.receive(got.handle);
    await lab.error(/no consumer holdfast/);
    await manager.consumers.add(stream, {
      durable_name: 'holdfast',
      filter_subject: `made.${lab.destination}.*.*`,
      ack_policy: 'explicit',
      ack_wait: 400_000_000,
    });
    await got.until((seen) => seen.length === 1);
  });
});

describe('what operators see', () => {
  it('has what waits, what is out and who is missing', async () => {
    const lab = openLab(server.url);
    await lab.publish(1, 2, 3);
    const unread = (await lab.transport.queues!({ signal: NEVER })).queues.find(
      ({ destination }) => destination === lab.destination,
    );
    expect(unread?.state).toMatchObject({ waiting: 3, active: 0, remarks: [{ check: 'queue.unread' }] });
    let finish = (): void => {};
    const got = recorder(async () => {
      await new Promise<void>((resolve) => void (finish = resolve));
      return { kind: 'done' };
    });
    const receiver = await lab.receive(got.handle, { owner: 'mine' });
    await got.until((seen) => seen.length === 1);
    expect(await receiver.look!({ signal: NEVER })).toMatchObject({ waiting: 2, active: 1, foreign: 0, remarks: [] });
    const other = openLab(server.url).transport.receiver(lab.destination, recorder().handle, {
      concurrency: 1,
      ordered: false,
      owner: 'theirs',
    });
    await other.start();
    onTestFinished(() => other.stop({ signal: AbortSignal.abort() }));
    await eventually(
      'the other to look',
      async () => (await other.look!({ signal: NEVER }).catch(() => undefined)) !== undefined,
    );
    expect((await receiver.look!({ signal: NEVER })).remarks.map(({ check }) => check)).toEqual(['queue.shared']);
    finish();
  });
});
