/**
 * Has an HTTP server listen, and says where.
 */
import type { AddressInfo, Server } from 'node:net';
import { HoldfastError } from '../errors.ts';

export interface ListenOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** For whoever gave an address that cannot be had. */
  readonly advice: string;
  /** Told of what goes wrong later. */
  readonly onError: (error: Error) => void;
}

/** Resolves with the URL, without a slash at the end. Rejects with HF_CONFIG when the address cannot be had. */
export async function listen(server: Server, { host, port, advice, onError }: ListenOptions): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      const taken = error.code === 'EADDRINUSE';
      const what = `The HTTP server cannot listen on ${host}:${port}: ${taken ? 'another process does' : error.message}.`;
      reject(new HoldfastError('HF_CONFIG', what, { advice, cause: error }));
    };
    server.once('error', failed);
    server.listen(port, host, () => {
      server.off('error', failed);
      server.on('error', onError);
      resolve();
    });
  });
  const address = server.address() as AddressInfo;
  const shown = ['0.0.0.0', '::'].includes(address.address) ? 'localhost' : address.address;
  return `http://${shown.includes(':') ? `[${shown}]` : shown}:${address.port}`;
}
