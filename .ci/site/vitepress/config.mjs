/**
 * The site: VitePress with its own theme. Nothing is fetched from anywhere else when a page is read.
 */
import { readFileSync } from 'node:fs';
import { slugOf } from './slug.ts';

const sidebar = JSON.parse(readFileSync(new URL('./sidebar.json', import.meta.url), 'utf8'));
const first = ({ items }) => items[0].link ?? first(items[0]);

export default {
  title: 'Holdfast',
  description: 'Sagas, a transactional outbox and an idempotent inbox for TypeScript services on PostgreSQL.',
  lang: 'en',
  base: process.env.DOCS_BASE ?? '/',
  outDir: '../dist',
  cleanUrls: false,
  metaChunk: true,
  // No picture of its own, and no request for one.
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  themeConfig: {
    nav: sidebar.map((section) => ({ text: section.text.split(',')[0], link: first(section) })),
    sidebar,
    outline: [2, 3],
    search: { provider: 'local' },
    externalLinkIcon: true,
  },
  markdown: {
    anchor: { slugify: slugOf },
    config(markdown) {
      const fence = markdown.renderer.rules.fence;
      markdown.renderer.rules.fence = (tokens, index, ...others) => {
        const { info, content } = tokens[index];
        if (info.trim() !== 'mermaid') return fence(tokens, index, ...others);
        return `<Diagram code="${encodeURIComponent(content)}" />`;
      };
    },
  },
};
