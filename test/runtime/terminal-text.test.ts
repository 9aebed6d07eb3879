import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { visible, visibleJson, visiblePage } from '../../src/runtime/terminal-text.ts';

const ESC = '\u001B';
const OWN_STYLE = new RegExp(String.raw`${ESC}\[(?:0|0;2|1|2|22|3[1-6]|39)m`, 'g');
/** Any text, with what is dangerous in it far more often than chance would have it. */
const hostile = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(ESC, '\u009B2J', '\u202E', '\u2066', '\u200B', '\u{E0041}', '\uD800', '\n', '\t', '\u0007'),
    ),
    { size: 'max', maxLength: 40 },
  )
  .map((parts) => parts.join(''));
const UNSEEN = /[^\P{C}\n\t\p{Cn}\p{Co}]|[\u2028\u2029]/u;

describe('text that leaves for a terminal', () => {
  it('has no character that a terminal obeys or that nobody sees', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        expect(visible(text)).not.toMatch(UNSEEN);
        expect(visiblePage(text).replaceAll(OWN_STYLE, '')).not.toMatch(UNSEEN);
      }),
    );
  });

  it('leaves everything else as it is', () => {
    for (const text of ['Größe 4/20', 'a\n\tb', '注文', 'é', '👍🏽', '']) expect(visible(text)).toBe(text);
    expect(visiblePage(`${ESC}[31mred${ESC}[39m`)).toBe(`${ESC}[31mred${ESC}[39m`);
  });

  it('shows which character it was', () => {
    expect(visible(`${ESC}]0;title\u0007\u202E\u{E0041}`)).toBe(String.raw`\x1b]0;title\x07\u202e\u{e0041}`);
    expect(visiblePage(`${ESC}[2J${ESC}[1;31m`)).toBe(String.raw`\x1b[2J\x1b[1;31m`);
  });

  it('keeps a document of JSON the same document', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const line = visibleJson(JSON.stringify({ [text]: text }));
        expect(line).not.toMatch(UNSEEN);
        expect(JSON.parse(line)).toEqual({ [text]: text });
      }),
    );
  });
});
