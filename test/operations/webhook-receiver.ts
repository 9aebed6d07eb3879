/**
 * The other side of a webhook: keeps what comes, and answers as the test says.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach } from 'vitest';

export interface ReceivedHook {
  readonly path: string;
  readonly id: string;
  readonly timestamp: string;
  readonly signatures: readonly string[];
  readonly body: string;
  /** Its part `data`, with the type of the whole. */
  readonly data: Readonly<Record<string, unknown>> & { readonly type: string };
}

export interface WebhookReceiver {
  readonly url: string;
  readonly received: ReceivedHook[];
  /** The status of each answer, and its headers; null: none is given, for as long as the test lasts. Default: 204. */
  answer: (hook: ReceivedHook) => { readonly status: number; readonly headers?: Record<string, string> } | null;
}

export const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

/** Where nobody listens. Not one of the low ports, which fetch refuses to call. */
export async function closedUrl(path: string): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return `http://127.0.0.1:${port}${path}`;
}

export function useWebhookReceiver(): WebhookReceiver {
  const received: ReceivedHook[] = [];
  const fine = (): { readonly status: number } => ({ status: 204 });
  let url = '';
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part: string) => (body += part));
    request.on('end', () => {
      const { type, data } = JSON.parse(body) as { type: string; data: Record<string, unknown> };
      const header = (name: string): string => String(request.headers[name] ?? '');
      const hook: ReceivedHook = {
        path: request.url ?? '',
        id: header('webhook-id'),
        timestamp: header('webhook-timestamp'),
        signatures: header('webhook-signature').split(' '),
        body,
        data: { ...data, type },
      };
      received.push(hook);
      const answer = receiver.answer(hook);
      if (answer !== null) response.writeHead(answer.status, answer.headers).end('said so');
    });
  });
  const receiver: WebhookReceiver = {
    get url() {
      return url;
    },
    received,
    answer: fine,
  };
  beforeAll(async () => {
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/alerts`;
  });
  beforeEach(() => {
    received.length = 0;
    receiver.answer = fine;
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  });
  return receiver;
}
