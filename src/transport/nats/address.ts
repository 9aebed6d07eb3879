/**
 * Where the servers are: what a user gives as `connection`, taken apart. User, password and token are kept away from what is shown. Pure.
 */
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';

/** Gives what a server is to know of the user; made by `credsAuthenticator`, `jwtAuthenticator` or `nkeyAuthenticator` of the client. */
export type NatsAuthenticator = (nonce?: string) => unknown;

/** How the client of NATS is to connect: those of its options that a transport leaves to you. Connecting again is the transport's. */
export interface NatsClientOptions {
  /**
   * As `connection`.
   *
   * @defaultValue '127.0.0.1:4222'
   */
  readonly servers?: string | readonly string[] | undefined;
  readonly user?: string | undefined;
  readonly pass?: string | undefined;
  readonly token?: string | undefined;
  readonly authenticator?: NatsAuthenticator | readonly NatsAuthenticator[] | undefined;
  /**
   * Options of `node:tls`, or `certFile`, `keyFile` and `caFile`; `{}` demands TLS. Without it, TLS is used where the server offers it; null: never.
   *
   * @defaultValue as the server offers
   */
  readonly tls?: object | null | undefined;
  /**
   * What subjects of answers begin with, where the rights of the user demand it.
   *
   * @defaultValue '_INBOX'
   */
  readonly inboxPrefix?: string | undefined;
  /**
   * What the server shows of its clients.
   *
   * @defaultValue 'holdfast'
   */
  readonly name?: string | undefined;
}

const CLIENT_OPTIONS = [
  'servers',
  'user',
  'pass',
  'token',
  'authenticator',
  'tls',
  'inboxPrefix',
  'name',
] as const satisfies readonly (keyof NatsClientOptions)[];

export interface NatsServerPlace {
  /** Without brackets, where it is an IPv6 address. */
  readonly host: string;
  readonly port: number;
}

export interface NatsAddress {
  readonly servers: readonly NatsServerPlace[];
  /** All servers as one text, without secrets. */
  readonly shown: string;
  /** Without the servers. */
  readonly client: Omit<NatsClientOptions, 'servers'>;
}

const DEFAULT_PORT = 4222;
const EXAMPLE = "Give 'nats://host:4222', or several of these, or options of the client of NATS.";

/** @throws HoldfastError HF_CONFIG or HF_OPTION_UNKNOWN */
export function parseConnection(
  connection: string | readonly string[] | NatsClientOptions,
  where: string,
): NatsAddress {
  const refuse = (what: string): never => {
    throw badOption(`${where}: connection`, what, EXAMPLE);
  };
  if (connection === null || connection === undefined || connection === '') return refuse('is missing');
  const { servers: given = '127.0.0.1', ...client } = isClientOptions(connection)
    ? connection
    : { servers: connection };
  refuseUnknownOptions(client, CLIENT_OPTIONS, `${where}: connection`);
  const texts = (typeof given === 'string' ? given.split(',') : given).map((text) => text.trim());
  if (texts.length === 0) return refuse('names no server');
  const parsed = texts.map((text) => serverOf(text) ?? refuse('has a server that is no URL of NATS'));
  const secrets = parsed.find(({ user, token }) => user !== undefined || token !== undefined);
  const isKnown = client.user !== undefined || client.token !== undefined || client.authenticator !== undefined;
  const asksForTls = parsed.some(({ tls }) => tls);
  if (asksForTls && client.tls === null) return refuse('has a tls:// URL, and tls: null');
  const servers = parsed.map(({ host, port }) => ({ host, port }));
  return {
    servers,
    shown: servers.map(placeText).toSorted().join(','),
    client: {
      ...client,
      ...(secrets === undefined || isKnown ? {} : { user: secrets.user, pass: secrets.pass, token: secrets.token }),
      ...(asksForTls && client.tls === undefined ? { tls: {} } : {}),
    },
  };
}

export function placeText({ host, port }: NatsServerPlace): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function isClientOptions(connection: string | readonly string[] | NatsClientOptions): connection is NatsClientOptions {
  return typeof connection === 'object' && !Array.isArray(connection);
}

interface ParsedServer extends NatsServerPlace {
  readonly tls: boolean;
  readonly user?: string | undefined;
  readonly pass?: string | undefined;
  readonly token?: string | undefined;
}

function serverOf(text: string): ParsedServer | null {
  const scheme = /^([a-z]+):\/\//i.exec(text)?.[1]?.toLowerCase() ?? 'nats';
  if (scheme !== 'nats' && scheme !== 'tls') return null;
  // `http`, so that URL knows host, port and credentials; a port that is the scheme's own would be left out.
  const url = `http://${text.replace(/^[a-z]+:\/\//i, '')}`;
  if (text === '' || !URL.canParse(url)) return null;
  const { hostname, username, password, pathname } = new URL(url);
  if (hostname === '' || pathname !== '/') return null;
  const port = /:(\d+)\/?$/.exec(url.replace(/^.*@/, ''))?.[1];
  const secrets = credentialsOf(username, password);
  if (secrets === null) return null;
  return {
    host: hostname.replaceAll(/^\[|\]$/g, ''),
    port: Number(port ?? DEFAULT_PORT),
    tls: scheme === 'tls',
    ...secrets,
  };
}

/** A name alone is a token, as in all clients of NATS. */
function credentialsOf(username: string, password: string): Pick<ParsedServer, 'user' | 'pass' | 'token'> | null {
  try {
    if (username === '') return {};
    if (password === '') return { token: decodeURIComponent(username) };
    return { user: decodeURIComponent(username), pass: decodeURIComponent(password) };
  } catch {
    return null;
  }
}
