/**
 * The other side of webhooks: a server that answers as the test says, and holds each signature against the library of Standard Webhooks.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

export const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

export interface Hook {
  readonly path: string;
  readonly id: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** What the payload of the test's messages has. */
  readonly n: number;
  readonly key: string;
}

export interface Receiver {
  readonly port: number;
  readonly url: string;
  /** Those that were answered 2xx, in the order of their answers. */
  readonly taken: Hook[];
  /** All. */
  readonly seen: Hook[];
  /** Connections that were made to it. */
  connections(): number;
  /** A status; or whatever it does with the response. */
  answer: (hook: Hook) => number | ((response: ServerResponse) => void);
  until(condition: (receiver: Receiver) => boolean): Promise<void>;
  close(): Promise<void>;
}

export async function startReceiver({
  secret = SECRET,
  tls,
}: {
  readonly secret?: string;
  readonly tls?: { readonly key: string; readonly cert: string };
} = {}): Promise<Receiver> {
  const waiting = new Set<() => void>();
  let connections = 0;
  const onRequest: RequestListener = (request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts).toString();
      const data = verified(body, request.headers, secret);
      if (data === undefined) {
        response.writeHead(401).end();
        return;
      }
      const { headers, url: path = '' } = request;
      const hook = {
        path,
        id: String(headers['webhook-id']),
        headers,
        body,
        n: data.n,
        key: data.key ?? data.who ?? '',
      };
      receiver.seen.push(hook);
      const answer = receiver.answer(hook);
      if (typeof answer === 'function') answer(response);
      else {
        response.writeHead(answer).end('said so');
        if (answer < 300) receiver.taken.push(hook);
      }
      waiting.forEach((check) => check());
    });
    request.on('error', () => {});
    response.on('error', () => {});
  };
  const server: Server = tls === undefined ? createServer(onRequest) : createTlsServer(tls, onRequest);
  server.on('connection', () => (connections += 1));
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const receiver: Receiver = {
    port,
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}/in`,
    taken: [],
    seen: [],
    connections: () => connections,
    answer: () => 204,
    until: (condition) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (!condition(receiver)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return receiver;
}

function verified(
  body: string,
  headers: IncomingMessage['headers'],
  secret: string,
): { readonly n: number; readonly key?: string; readonly who?: string } | undefined {
  try {
    return (new Webhook(secret).verify(body, headers as Record<string, string>) as { data: { n: number } }).data;
  } catch {
    return undefined;
  }
}
