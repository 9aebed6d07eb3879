/**
 * The package `openid-client`, loaded when somebody logs in by it, and as much of it as is used here. It is an optional peer: who has no
 * identity provider does not install it.
 */
import { createRequire } from 'node:module';
import { HoldfastError } from '../../errors.ts';

/** What a provider says of itself, and us as its client. */
export interface ProviderConfiguration {
  serverMetadata(): { readonly userinfo_endpoint?: string; readonly end_session_endpoint?: string };
}

export type Claims = Readonly<Record<string, unknown>> & { readonly sub: string };

export interface TokenAnswer {
  readonly access_token: string;
  claims(): Claims | undefined;
}

/** How a client proves that it is it. */
type ClientAuthentication = (...request: never) => unknown;

export interface OpenidClient {
  readonly clockTolerance: symbol;
  readonly allowInsecureRequests: (configuration: ProviderConfiguration) => void;
  readonly enableNonRepudiationChecks: (configuration: ProviderConfiguration) => void;
  ClientSecretBasic(secret: string): ClientAuthentication;
  ClientSecretPost(secret: string): ClientAuthentication;
  None(): ClientAuthentication;
  discovery(
    issuer: URL,
    clientId: string,
    metadata: Readonly<Record<string | symbol, unknown>>,
    authentication: ClientAuthentication,
    options: {
      readonly timeout: number;
      readonly execute: readonly ((configuration: ProviderConfiguration) => void)[];
    },
  ): Promise<ProviderConfiguration>;
  randomPKCECodeVerifier(): string;
  calculatePKCECodeChallenge(verifier: string): Promise<string>;
  randomState(): string;
  randomNonce(): string;
  buildAuthorizationUrl(configuration: ProviderConfiguration, parameters: Readonly<Record<string, string>>): URL;
  authorizationCodeGrant(
    configuration: ProviderConfiguration,
    back: URL,
    checks: {
      readonly pkceCodeVerifier: string;
      readonly expectedState: string;
      readonly expectedNonce: string;
    },
  ): Promise<TokenAnswer>;
  fetchUserInfo(configuration: ProviderConfiguration, accessToken: string, subject: string): Promise<Claims>;
  buildEndSessionUrl(configuration: ProviderConfiguration, parameters: Readonly<Record<string, string>>): URL;
}

/** Not written out where it is imported: programs are built without it as well. */
const PACKAGE = 'openid-client';

/** Throws HF_CONFIG where it is not installed. */
export function assertOpenidClient(): void {
  try {
    createRequire(import.meta.url).resolve(PACKAGE);
  } catch (error) {
    throw new HoldfastError('HF_CONFIG', `The package ${PACKAGE} is not installed.`, {
      advice: `oidcAuthenticator needs it: npm install ${PACKAGE}@6`,
      cause: error,
    });
  }
}

export async function loadOpenidClient(): Promise<OpenidClient> {
  return (await import(PACKAGE)) as OpenidClient;
}
