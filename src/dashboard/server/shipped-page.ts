/**
 * The page of the dashboard: its files by their path, such as `assets/index.js`. Here they are read from where a work tree of Holdfast has
 * built them. The build puts a module in this one's place that carries the texts themselves (.ci/embed.mjs): an application that is
 * bundled into one file has no such folder beside it.
 */
import { fileURLToPath } from 'node:url';
import { pageOfFolder, type PageFiles } from './static-page.ts';

/** Null where nobody has built it. */
export function shippedPage(): PageFiles | null {
  for (const place of ['../../../dist/dashboard/page/', '../../../node_modules/.cache/holdfast/page/']) {
    const files = pageOfFolder(fileURLToPath(new URL(place, import.meta.url)));
    if (files !== null) return files;
  }
  return null;
}
