/**
 * The documentation for programs that read it: llms.txt lists the pages (https://llmstxt.org), llms-full.txt has them whole.
 */
import { posix } from 'node:path';
import { entriesIn, type IndexKind } from './index-page.ts';

const SUMMARY = `# Holdfast

> Sagas, a transactional outbox and an idempotent inbox for TypeScript services on PostgreSQL. The npm package is \`holdfast\`.

Paths are from this file. The pages are plain Markdown, and stand in the package as well: \`node_modules/holdfast/docs\`.`;

/**
 * @param to where a page is found from this list; default: where docs/README.md finds it
 */
export function llmsIndex(kinds: readonly IndexKind[], to = (target: string): string => target): string {
  const sections = kinds.map(({ title, groups }) => {
    const lines = groups.flatMap(({ entries }) =>
      entries.map((entry) => `- [${entry.title}](${to(entry.target)})${entry.about === '' ? '' : `: ${entry.about}`}`),
    );
    return `## ${title}\n\n${lines.join('\n')}`;
  });
  return `${[SUMMARY, ...sections].join('\n\n')}\n`;
}

/**
 * All pages in the order of the index, each after a line with its path from the root of the project.
 *
 * @param read the text of such a path, or undefined when it is no page
 */
export function llmsFull(kinds: readonly IndexKind[], read: (path: string) => string | undefined): string {
  const paths = new Set(entriesIn(kinds).map(({ target }) => posix.join('docs', target.replace(/#.*/, ''))));
  const pages = [...paths].flatMap((path) => {
    const text = read(path);
    return text === undefined ? [] : [`<!-- ${path} -->\n\n${text.trim()}`];
  });
  return `${[SUMMARY, ...pages].join('\n\n')}\n`;
}
