/**
 * One connection to RabbitMQ, from its opening to its end. It does not connect again by itself: what was under way on it is unknown, and whoever
 * uses it must begin anew. The client is amqplib, because with it a connection, a channel and a confirmation are each an object that can be
 * watched and given up; rabbitmq-client, the other one, connects again inside, and sends from a queue of its own what nobody waits for any
 * more. amqplib is loaded with the first connection.
 */
import { setMaxListeners } from 'node:events';
import { connect as connectSocket, type Socket } from 'node:net';
import type { Channel, ChannelModel, connect as Connect, Options, SocketOptions } from 'amqplib';
import { HoldfastError } from '../../errors.ts';
import { timeLimit } from '../../runtime/time-limit.ts';
import { type BrokerClient, loadClient } from '../load-client.ts';
import { abortReason, settledOrAborted } from '../shared.ts';
import { brokerUnavailable } from './broker-answers.ts';
import type { RabbitmqEndpoint, RabbitmqSettings } from './options.ts';

/** How long an end in order may take before the connection is cut. */
const CLOSE_MS = 2_000;

const AMQPLIB: BrokerClient = {
  failure: (why) => `The client of the broker (rabbitmq) cannot be loaded: ${why}`,
  packages: ['amqplib'],
  adviceWhenMissing: 'It is not installed with holdfast: npm install amqplib',
  adviceElse: 'Install the dependencies of holdfast anew; a bundle must hold amqplib, or find it.',
};

export interface RabbitmqConnection {
  readonly model: ChannelModel;
  /** Aborts with the reason when the connection is over, whoever ended it. */
  readonly lost: AbortSignal;
  /** Why the broker takes nothing from it just now: an alarm of memory or disk. Null: it does. */
  blocked(): string | null;
  /** Tells when it is blocked, until it is called off by what this returns. */
  onBlocked(tell: (reason: string) => void): () => void;
  /** Ends it at once; what the process still had to send is not sent. */
  cut(reason: Error): void;
  /** Ends it in order, so that what was sent has been read. Cuts it where that takes too long. Never rejects. */
  close(): Promise<void>;
}

/**
 * Connects to one of the servers, beginning with any of them.
 *
 * @param purpose shown by RabbitMQ beside the connection
 */
export async function connectToAny(
  settings: RabbitmqSettings,
  purpose: string,
  signal: AbortSignal,
): Promise<RabbitmqConnection> {
  const { endpoints } = settings;
  const first = Math.floor(Math.random() * endpoints.length);
  let failure: unknown = new Error('no server');
  for (let index = 0; index < endpoints.length; index += 1) {
    const endpoint = endpoints[(first + index) % endpoints.length];
    if (endpoint === undefined) break;
    signal.throwIfAborted();
    try {
      return await connectTo(endpoint, settings, purpose, signal);
    } catch (error) {
      if (error instanceof HoldfastError) throw error;
      failure = error;
    }
  }
  throw brokerUnavailable(failure, endpoints.length > 1 ? 'lets nobody in on any of its nodes' : 'lets nobody in');
}

async function connectTo(
  endpoint: RabbitmqEndpoint,
  settings: RabbitmqSettings,
  purpose: string,
  signal: AbortSignal,
): Promise<RabbitmqConnection> {
  const { connect } = await loadAmqplib();
  const end = new AbortController();
  const lost = new AbortController();
  // Everything that waits for an answer listens to it.
  setMaxListeners(0, lost.signal);
  const over = (reason: unknown): void => {
    lost.abort(reason instanceof Error ? reason : new Error('the connection was closed'));
    end.abort();
  };
  const late = setTimeout(
    () => over(new Error(`no answer within ${settings.publishTimeoutMs} ms`)),
    settings.publishTimeoutMs,
  );
  const giveUp = (): void => over(abortReason(signal));
  signal.addEventListener('abort', giveUp);
  try {
    const socket = endpoint.secure ? socketUnderTls(endpoint, end.signal, over) : null;
    const connecting = connect(accessOf(endpoint, settings), {
      noDelay: true,
      keepAlive: true,
      clientProperties: { connection_name: `holdfast ${purpose}` },
      // Node takes a signal for what connects; the client's types do not know it.
      ...((socket === null ? { signal: end.signal } : { ...settings.tls, socket }) as SocketOptions),
    });
    return watch(await settledOrAborted(connecting, lost.signal), lost.signal, over);
  } catch (error) {
    over(error);
    throw error;
  } finally {
    clearTimeout(late);
    signal.removeEventListener('abort', giveUp);
  }
}

function accessOf(endpoint: RabbitmqEndpoint, { heartbeatSeconds }: RabbitmqSettings): Options.Connect {
  const { secure, host, port, user, password, vhost } = endpoint;
  return {
    protocol: secure ? 'amqps' : 'amqp',
    hostname: host,
    port,
    username: user,
    password,
    // The client unescapes it.
    vhost: encodeURIComponent(vhost),
    heartbeat: heartbeatSeconds,
    frameMax: 131_072,
  };
}

/** Of its failures the client hears nothing: they are told to `over`. */
function socketUnderTls(
  { host, port }: RabbitmqEndpoint,
  signal: AbortSignal,
  over: (reason: unknown) => void,
): Socket {
  const socket = connectSocket({ host, port, signal });
  socket.on('error', over);
  socket.on('close', () => over(new Error('the connection was lost')));
  return socket;
}

function watch(model: ChannelModel, lost: AbortSignal, over: (reason: unknown) => void): RabbitmqConnection {
  let blocked: string | null = null;
  let failure: Error | undefined;
  const listeners = new Set<(reason: string) => void>();
  // Listened to, since an 'error' that nobody hears ends the process. 'close' follows.
  model.on('error', (error) => (failure ??= error));
  model.on('close', (error) => over(failure ?? error));
  model.on('blocked', (reason) => {
    blocked = `it takes nothing until an alarm is over (${reason})`;
    for (const tell of listeners) tell(blocked);
  });
  model.on('unblocked', () => (blocked = null));
  return {
    model,
    lost,
    blocked: () => blocked,
    onBlocked(tell) {
      listeners.add(tell);
      return () => void listeners.delete(tell);
    },
    cut: over,
    async close() {
      const closed = model.close();
      await settledOrAborted(closed, lost, timeLimit(CLOSE_MS)).catch(() => {});
      over(new Error('the connection was closed'));
    },
  };
}

/**
 * One exchange with the broker. When it takes too long the connection is given up: the answer is unknown either way.
 */
export async function exchange<T>(connection: RabbitmqConnection, work: Promise<T>, withinMs: number): Promise<T> {
  const late = setTimeout(() => connection.cut(new Error(`no answer within ${withinMs} ms`)), withinMs);
  try {
    return await settledOrAborted(work, connection.lost);
  } finally {
    clearTimeout(late);
  }
}

/** A channel that does not end the process when the broker closes it. */
export async function openChannel(connection: RabbitmqConnection, withinMs: number): Promise<Channel> {
  const channel = await exchange(connection, connection.model.createChannel(), withinMs);
  channel.on('error', () => {});
  return channel;
}

/** HF_TRANSPORT_UNAVAILABLE when it is not installed. */
export function loadAmqplib(): Promise<{ readonly connect: typeof Connect }> {
  return loadClient(AMQPLIB, () => import('amqplib'));
}
