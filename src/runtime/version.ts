/**
 * The version of this package. Here it is read from package.json; the build writes the number itself in its place (.ci/embed.mjs), because
 * an application that is bundled into one file has no such file beside it.
 */
import { readFileSync } from 'node:fs';

export function packageVersion(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { readonly version: string }).version;
}
