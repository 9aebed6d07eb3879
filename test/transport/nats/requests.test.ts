/**
 * What is asked of NATS, held against a server that has forgotten it or has no leader: a request for messages is found to be dead, and no
 * message of a batch overtakes the first, which may have found nobody.
 */
import { headers } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { startNats, type NatsServer } from '../../../src/servers/nats.ts';
import { NEVER } from '../../../src/testing/transport/kit.ts';
import { type NatsLink, openLink } from '../../../src/transport/nats/link.ts';
import { resolveNatsOptions } from '../../../src/transport/nats/options.ts';
import { type PullEnd, Puller } from '../../../src/transport/nats/pull.ts';
import { PublishWindow, type Sendable } from '../../../src/transport/nats/window.ts';
import { eventually } from '../../support/eventually.ts';
import { connectionTo } from './lab.ts';

let server: NatsServer;
beforeAll(async () => {
  server = await startNats();
});
afterAll(() => server.dispose());

async function link(): Promise<NatsLink> {
  const opened = await openLink(resolveNatsOptions({ connection: server.url }, 'test'), new Set(), NEVER);
  onTestFinished(() => opened.close());
  return opened;
}

it('a request of which nothing is heard any more is found to be forgotten', async () => {
  const ends: PullEnd[] = [];
  const puller = new Puller({
    link: await link(),
    stream: 'nobody',
    consumer: 'nobody',
    onMessage: () => {},
    onEnd: (end) => ends.push(end),
  });
  // In place of the consumer, one that takes the request and says nothing.
  const place = await connectionTo(server);
  place.subscribe('$JS.API.CONSUMER.MSG.NEXT.nobody.nobody', { callback: () => {} });
  await place.flush();
  puller.ask(1);
  await eventually('the request to be given up', async () => {
    puller.watch();
    return ends.length > 0;
  });
  expect(ends[0]).toEqual({ kind: 'lost', why: 'the server has forgotten the request' });
  expect(puller.due).toBe(0);
});

it('takes back of a request that has ended what it did not bring, and all of them when the consumer is gone', async () => {
  const ends: string[] = [];
  const puller = new Puller({
    link: await link(),
    stream: 'pulled',
    consumer: 'by-us',
    onMessage: () => {},
    onEnd: ({ kind }) => ends.push(kind),
  });
  // In place of a stream, one that answers when it is told to.
  const place = await connectionTo(server);
  const requests: { readonly batch: number; say(status: number, description: string, left: number): void }[] = [];
  place.subscribe('$JS.API.CONSUMER.MSG.NEXT.pulled.by-us', {
    callback: (_, message) =>
      void requests.push({
        batch: message.json<{ batch: number }>().batch,
        say(status, description, left) {
          const said = headers(status, description);
          said.set('Nats-Pending-Messages', String(left));
          place.publish(message.reply ?? '', '', { headers: said });
        },
      }),
  });
  await place.flush();
  puller.ask(4);
  puller.ask(2);
  await eventually('both requests', async () => requests.length === 2);
  expect([requests.map(({ batch }) => batch), puller.due]).toEqual([[4, 2], 6]);
  requests[0]!.say(408, 'Request Timeout', 4);
  await eventually('the end of the first', async () => ends.length === 1);
  expect([ends, puller.due]).toEqual([['over'], 2]);
  requests[1]!.say(409, 'Consumer Deleted', 2);
  await eventually('the end of the other', async () => ends.length === 2);
  expect([ends, puller.due]).toEqual([['over', 'lost'], 0]);
  puller.ask(3);
  await eventually('one more', async () => requests.length === 3);
  // Of one that is over already.
  requests[1]!.say(408, 'Request Timeout', 2);
  requests[2]!.say(408, 'Request Timeout', 1);
  await eventually('its end', async () => ends.length === 3);
  expect([ends, puller.due]).toEqual([['over', 'lost', 'over'], 2]);
});

it('the first message of a stream goes alone, until it is acknowledged', async () => {
  const opened = await link();
  const stream = await connectionTo(server);
  const heard: string[] = [];
  const answers: (() => void)[] = [];
  // In place of a stream, one that answers when it is told to.
  stream.subscribe('place.*', {
    callback: (_, message) => {
      heard.push(message.subject);
      answers.push(() => void message.respond(JSON.stringify({ stream: 'place', seq: heard.length })));
    },
  });
  await stream.flush();
  const all = [0, 1, 2].map((index): Sendable => ({
    index,
    id: `id-${index}`,
    subject: `place.${index}`,
    stream: 'place',
    wire: '{}',
  }));
  const sent = new PublishWindow(opened).send(all, { timeoutMs: 60_000, signal: NEVER });
  await eventually('the first to come', async () => heard.length > 0);
  // What was sent with it has reached the server by now, and from there the subscriber.
  await opened.ping(60_000);
  await stream.flush();
  expect(heard).toEqual(['place.0']);
  answers[0]?.();
  await eventually('the others to come', async () => heard.length === 3);
  answers[1]?.();
  answers[2]?.();
  expect((await sent).map(({ meaning }) => meaning.kind)).toEqual(['stored', 'stored', 'stored']);
});
