/**
 * Waits for a connection to Redis, and explains the most likely cause when there is none.
 */
import type { Redis } from 'ioredis';
import { HoldfastError } from '../../errors.ts';
import { abortReason } from '../shared.ts';

/** A port without TLS answers nothing at all to somebody who begins with it, and the error says ETIMEDOUT. Pure. */
export function explainRedisError(error: Error, tls: boolean): Error {
  const { message } = error;
  if (tls && /ETIMEDOUT|EPROTO|ECONNRESET|wrong version|no connection within|closed/i.test(message))
    return new Error(`${message}; TLS was asked for (rediss://): does this port speak it?`, { cause: error });
  if (!tls && /ECONNRESET|closed/i.test(message))
    return new Error(`${message}; does this port want TLS (rediss://)?`, { cause: error });
  return error;
}

/** A server that belongs to a cluster refuses what concerns several keys, or keys of other nodes, and will do so for ever. Pure. */
export function explainCluster(error: Error): Error {
  return /\bCROSSSLOT\b|^MOVED \d/.test(error.message) ? unknownCluster(error) : error;
}

/** Of a server that was given as a single one. */
export function unknownCluster(cause?: Error): HoldfastError {
  const said = cause === undefined ? '' : ` It says: ${cause.message}`;
  return new HoldfastError('HF_CONFIG', `This Redis is a node of a cluster, and was given as a single server.${said}`, {
    advice:
      "Give connection: { cluster: ['host:port', …] }, or a URL that begins with redis+cluster://. Behind a proxy that makes one server of a cluster, give a prefix with a hash tag, such as '{holdfast}'.",
    ...(cause === undefined ? {} : { cause }),
  });
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
