/**
 * Waits for a connection to Redis, and explains the most likely cause when there is none.
 */
import type { Redis, RedisOptions } from 'ioredis';
import { abortReason } from '../shared.ts';

export function usesTls(connection: string | RedisOptions): boolean {
  return typeof connection === 'string'
    ? connection.startsWith('rediss:')
    : (connection.tls ?? undefined) !== undefined;
}

/** A port without TLS answers nothing at all to somebody who begins with it, and the error says ETIMEDOUT. Pure. */
export function explainRedisError(error: Error, tls: boolean): Error {
  const { message } = error;
  if (tls && /ETIMEDOUT|EPROTO|ECONNRESET|wrong version|no connection within|closed/i.test(message))
    return new Error(`${message}; TLS was asked for (rediss://): does this port speak it?`, { cause: error });
  if (!tls && /ECONNRESET|closed/i.test(message))
    return new Error(`${message}; does this port want TLS (rediss://)?`, { cause: error });
  return error;
}

/** Resolves when the client is ready; rejects at its next failure to become so, on abort, or after `timeoutMs`. */
export function untilRedisReady(client: Redis, signal: AbortSignal, timeoutMs: number): Promise<void> {
  const tls = (client.options.tls ?? undefined) !== undefined;
  return new Promise((resolve, reject) => {
    let lastError: Error | undefined;
    const settle = (error?: Error): void => {
      clearTimeout(timer);
      client.off('ready', onReady);
      client.off('error', onError);
      client.off('close', onClose);
      signal.removeEventListener('abort', onAbort);
      if (error === undefined) resolve();
      else reject(explainRedisError(error, tls));
    };
    const onReady = (): void => settle();
    const onError = (error: Error): void => void (lastError = error);
    const onClose = (): void => settle(lastError ?? new Error('the connection was closed'));
    const onAbort = (): void => settle(abortReason(signal));
    const timer = setTimeout(() => settle(lastError ?? new Error(`no connection within ${timeoutMs} ms`)), timeoutMs);
    client.on('ready', onReady);
    client.on('error', onError);
    client.on('close', onClose);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
  });
}
