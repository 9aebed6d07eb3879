/**
 * Packages that only some need are not installed with this one: clients of brokers. When one is missing, whoever needs it is told which,
 * and how to get it.
 */
const NOT_FOUND = new Set(['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND']);

/**
 * The one of the packages that this error of an `import()` says is missing; undefined for every other error. What it says differs between
 * Node (`Cannot find package 'x' imported from …`), its CommonJS loader (`Cannot find module 'x'`), Bun and bundles.
 */
export function missingPackage(error: unknown, packages: readonly string[]): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, message, cause } = error as Error & { readonly code?: unknown };
  if (!NOT_FOUND.has(String(code))) return cause === undefined ? undefined : missingPackage(cause, packages);
  return packages.find((name) => new RegExp(`(?:package|module) ['"]${name}(?:/[^'"]*)?['"]`).test(message));
}
