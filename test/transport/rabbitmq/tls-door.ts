/**
 * A door with TLS in front of a plain server, with a certificate for 127.0.0.1 that is good for a hundred years and for tests alone.
 */
import { connect } from 'node:net';
import { createServer } from 'node:tls';
import { onTestFinished } from 'vitest';

const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgxfdUqIjLO7XVQc2p
G/4KvJ+VUUwCb4vbtdehnb4h4fqhRANCAARhDogBdaotqPVpGFTDZPx4MWsnaatm
EFBFOsRUpbRXiFlxm1Og/R3nxyIiS1zN1RXr1qzd0YTQ0WyWaq9gx2yc
-----END PRIVATE KEY-----`;

export const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUFsZsWfIwdZYpkBxR9F+hUE3StSkwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyOTE3MTgxMVoYDzIxMjYxMTA1
MTcxODExWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARhDogBdaotqPVpGFTDZPx4MWsnaatmEFBFOsRUpbRXiFlxm1Og/R3n
xyIiS1zN1RXr1qzd0YTQ0WyWaq9gx2yco28wbTAdBgNVHQ4EFgQUd3wmw+1yHA0z
QQavBDPfrLAx62gwHwYDVR0jBBgwFoAUd3wmw+1yHA0zQQavBDPfrLAx62gwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIgRyTz8MS2SaIknDBVmB6yWgNWGTuxaj6zSY2HwOa6fGACIQDL
nQ49gasvuUF9gDgZ+d174JXS5sajR31sbk5WYbd7VQ==
-----END CERTIFICATE-----`;

/** Its port. */
export async function openTlsDoor(plainPort: number): Promise<number> {
  const server = createServer({ key: KEY, cert: CERTIFICATE }, (client) => {
    const inside = connect({ port: plainPort, host: '127.0.0.1' });
    for (const socket of [client, inside]) socket.on('error', () => {});
    client.on('close', () => inside.destroy());
    inside.on('close', () => client.destroy());
    client.pipe(inside).pipe(client);
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
