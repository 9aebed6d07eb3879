/**
 * A TCP proxy before PostgreSQL that counts what passes it: statements, and exchanges. An exchange begins when something is sent on a
 * connection that awaits no answer: what goes out behind it before the answer is there is of the same one.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Passed {
  /** The texts of an exchange, in the order in which they were sent; several statements in one text stand apart. */
  readonly statements: readonly string[];
}

export interface WireCounter {
  /** The url of the server with this proxy's address. */
  readonly url: string;
  /** What has passed since the last call. */
  take(): readonly Passed[];
  close(): Promise<void>;
}

export async function startWireCounter(serverUrl: string): Promise<WireCounter> {
  const target = new URL(serverUrl);
  const sockets = new Set<Socket>();
  let passed: Passed[] = [];
  const listener = createServer({ noDelay: true }, (client) => {
    const server = connect({ host: target.hostname, port: Number(target.port), noDelay: true });
    const meter = new Meter((exchange) => passed.push(exchange));
    for (const [from, to, look] of [
      [client, server, (chunk: Buffer) => meter.sent(chunk)],
      [server, client, (chunk: Buffer) => meter.answered(chunk)],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk: Buffer) => {
        look(chunk);
        to.write(chunk);
      });
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    url: Object.assign(new URL(serverUrl), {
      hostname: '127.0.0.1',
      port: String((listener.address() as AddressInfo).port),
    }).href,
    take() {
      const all = passed;
      passed = [];
      return all;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      listener.close();
      await once(listener, 'close');
    },
  };
}

/** Bytes of one direction, as messages of the protocol. */
class Frames {
  #rest = Buffer.alloc(0);
  /** The first message of a client has no type. */
  #hasType: boolean;

  constructor(hasType: boolean) {
    this.#hasType = hasType;
  }

  *of(chunk: Buffer): Generator<{ readonly type: string; readonly body: Buffer }> {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const from = this.#hasType ? 1 : 0;
      if (this.#rest.length < from + 4) return;
      const end = from + this.#rest.readInt32BE(from);
      if (this.#rest.length < end) return;
      const type = this.#hasType ? String.fromCharCode(this.#rest[0] ?? 0) : '';
      yield { type, body: this.#rest.subarray(from + 4, end) };
      this.#rest = this.#rest.subarray(end);
      this.#hasType = true;
    }
  }
}

/** One connection. */
class Meter {
  readonly #toServer = new Frames(false);
  readonly #toClient = new Frames(true);
  readonly #tell: (exchange: Passed) => void;
  /** Prepared statements by name. */
  readonly #prepared = new Map<string, string>();
  #bound = '';
  /** Answers that are awaited. */
  #awaited = 0;
  #statements: string[] = [];

  constructor(tell: (exchange: Passed) => void) {
    this.#tell = tell;
  }

  sent(chunk: Buffer): void {
    for (const { type, body } of this.#toServer.of(chunk)) {
      const [first = '', second = ''] = texts(body);
      if (type === 'P') this.#prepared.set(first, second);
      if (type === 'B') this.#bound = this.#prepared.get(second) ?? '';
      if (type === 'E') this.#statements.push(this.#bound);
      if (type === 'Q') this.#statements.push(...statementsIn(first));
      if (type === 'Q' || type === 'S') this.#awaited += 1;
    }
  }

  answered(chunk: Buffer): void {
    for (const { type } of this.#toClient.of(chunk)) {
      // ReadyForQuery. The first one belongs to the start of the connection.
      if (type !== 'Z' || this.#awaited === 0) continue;
      this.#awaited -= 1;
      if (this.#awaited > 0) continue;
      this.#tell({ statements: this.#statements });
      this.#statements = [];
    }
  }
}

/** The first two texts of a message, each ended by a zero. */
function texts(body: Buffer): readonly string[] {
  const end = body.indexOf(0);
  if (end < 0) return [];
  const second = body.indexOf(0, end + 1);
  return [body.toString('utf8', 0, end), second < 0 ? '' : body.toString('utf8', end + 1, second)];
}

/** Semicolons within literals end no statement. */
function statementsIn(text: string): readonly string[] {
  return text
    .replaceAll(/'(?:[^']|'')*'/g, "''")
    .split(';')
    .map((each) => each.trim())
    .filter((each) => each !== '');
}
