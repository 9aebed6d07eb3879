/**
 * What the site reads in a page of Markdown: its headings and its links, none of them in code.
 */
import { slugOf } from './slug.ts';

const CODE = /^```[\s\S]*?^```[^\n]*$|`[^`\n]+`/gm;
const LINK = /\]\((?<target>[^)\s]+)\)/g;

/** The text with each link's target replaced by what `to` says; links in code are left alone. */
export function rewriteLinks(text: string, to: (target: string) => string): string {
  const pieces: string[] = [];
  let at = 0;
  for (const code of text.matchAll(CODE)) {
    pieces.push(links(text.slice(at, code.index)), code[0]);
    at = code.index + code[0].length;
  }
  pieces.push(links(text.slice(at)));
  return pieces.join('');

  function links(prose: string): string {
    return prose.replaceAll(LINK, (_, target: string) => `](${to(target)})`);
  }
}

/** The anchors of a page; a heading that comes twice gets a number. */
export function anchorsOf(text: string): ReadonlySet<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  const prose = text.replaceAll(/^```[\s\S]*?^```[^\n]*$/gm, '');
  for (const [, heading = ''] of prose.matchAll(/^#{1,6} +(.+)$/gm)) {
    const slug = slugOf(heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1'));
    const before = seen.get(slug) ?? 0;
    seen.set(slug, before + 1);
    anchors.add(before === 0 ? slug : `${slug}-${before}`);
  }
  return anchors;
}

export function titleOf(text: string): string {
  return /^# (.+)$/m.exec(text)?.[1] ?? '';
}
