/**
 * A TCP proxy in front of a server, which can cut a connection at the worst moment: when a certain statement goes by, before it
 * reaches the server, or after the server has answered and before the answer gets back. Used for cuts in the middle of COMMIT.
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { slowLine } from './slow-line.ts';

/**
 * pass; cut before the server gets it; cut once the server has answered it, with the answer lost; stall: neither this nor anything
 * else of any connection goes on, as when the process at the other end is stopped; late: the client is cut, and the server gets it, and
 * all that was sent before, when `deliverLate` is called; silent: neither this nor anything else of this connection comes through from now
 * on, and neither end hears of the other's; mute: the server gets it, and then as silent; deaf: the server gets nothing any more.
 */
export type Fate = 'pass' | 'before' | 'after' | 'stall' | 'late' | 'silent' | 'mute' | 'deaf';

/** Looks at bytes on their way to the server. A statement of node-postgres comes in one piece. */
export type Judge = (bytes: Buffer) => Fate;

export interface TcpProxy {
  /** The url of the server with this proxy's address. */
  readonly url: string;
  judge: Judge;
  /** How late everything comes, in either direction. Default 0. */
  delayMs: number;
  /** Connections cut so far. */
  readonly cuts: { before: number; after: number };
  /** What was to come late reaches the server, which then loses its client. Resolves once it has closed the connection. */
  deliverLate(): Promise<void>;
  readonly stalled: boolean;
  /** From now on nothing more comes through the connections there are, in either direction, and none of them ends; new ones are fine. */
  darken(): void;
  /** The same, and connections that are made from now on get no answer either, until `lighten`: these then go on, as TCP has it. */
  blackOut(): void;
  lighten(): void;
  /** Cuts all connections; new ones are taken. */
  cutAll(): void;
  close(): Promise<void>;
}

export async function startTcpProxy(serverUrl: string): Promise<TcpProxy> {
  const target = new URL(serverUrl);
  const pairs = new Set<{ readonly client: Socket; readonly server: Socket; dark: boolean }>();
  const cuts = { before: 0, after: 0 };
  const late: { readonly server: Socket; readonly bytes: Buffer }[] = [];
  let stalled = false;
  let blackedOut = false;

  const listener = createServer((client) => {
    const server = connect({ host: target.hostname, port: Number(target.port) });
    const pair = { client, server, dark: false };
    pairs.add(pair);
    if (blackedOut) client.pause();
    let answerIsLost = false;
    let isDeaf = false;
    const delay = (): number => proxy.delayMs;
    const toServer = slowLine(delay, (bytes) => void server.write(bytes));
    const toClient = slowLine(delay, (bytes) => void client.write(bytes));
    const end = (): void => {
      pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on('error', end);
    }
    client.on('close', end);
    server.on('close', () => {
      if (!pair.dark) end();
    });
    client.on('data', (bytes) => {
      if (pair.dark || isDeaf) return;
      const fate = stalled ? 'stall' : proxy.judge(bytes);
      if (fate === 'stall') {
        stalled = true;
        return;
      }
      if (fate === 'late') {
        late.push({ server, bytes });
        pairs.delete(pair);
        pair.dark = true;
        client.off('close', end);
        return client.destroy();
      }
      if (fate === 'deaf') {
        isDeaf = true;
        return;
      }
      if (fate === 'silent' || fate === 'mute') {
        pair.dark = true;
        if (fate === 'mute') server.write(bytes);
        return;
      }
      if (fate === 'before') {
        cuts.before += 1;
        return end();
      }
      if (fate === 'after') answerIsLost = true;
      toServer(bytes);
    });
    server.on('data', (bytes) => {
      if (stalled || pair.dark) return;
      if (!answerIsLost) return toClient(bytes);
      cuts.after += 1;
      return end();
    });
  });
  await new Promise<void>((resolve) => {
    listener.listen(0, '127.0.0.1', resolve);
  });
  const { port } = listener.address() as AddressInfo;
  const cutAll = (): void => {
    for (const { client, server } of pairs) {
      client.destroy();
      server.destroy();
    }
  };
  const proxy: TcpProxy = {
    url: Object.assign(new URL(serverUrl), { hostname: '127.0.0.1', port: String(port) }).href,
    judge: () => 'pass',
    delayMs: 0,
    cuts,
    async deliverLate() {
      for (const { server, bytes } of late.splice(0)) {
        const closed = new Promise((resolve) => server.once('close', resolve));
        server.end(bytes);
        await closed;
      }
    },
    get stalled() {
      return stalled;
    },
    darken() {
      for (const pair of pairs) pair.dark = true;
    },
    blackOut() {
      blackedOut = true;
      proxy.darken();
    },
    lighten() {
      blackedOut = false;
      for (const { client } of pairs) client.resume();
    },
    cutAll,
    async close() {
      const closed = new Promise((resolve) => {
        listener.close(resolve);
      });
      cutAll();
      await closed;
    },
  };
  return proxy;
}

/** A COMMIT sent by the simple protocol, alone or behind other statements in one text. */
export function isCommit(bytes: Buffer): boolean {
  return bytes[0] === 0x51 && /(?:^|;)COMMIT;?\0/i.test(bytes.toString('latin1', 5));
}
