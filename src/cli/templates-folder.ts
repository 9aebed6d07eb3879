/**
 * Where the templates of `holdfast init` are. Apart from what reads them, because it must lie two levels below the root of the package: so do
 * the files of the build.
 */
import { fileURLToPath } from 'node:url';

export function templatesFolder(): string {
  return fileURLToPath(new URL('../../templates/', import.meta.url));
}
