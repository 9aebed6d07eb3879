/**
 * Text from elsewhere made harmless for a terminal. Keys, topics, errors and payloads are written by others, and a terminal obeys what
 * it is shown: escape sequences move the cursor, rewrite lines above, set titles or the clipboard; marks for the direction of
 * writing show a name as another one. Used at the places where text leaves: the command line's output and the logger.
 */

/**
 * Control characters (Cc) but line feed and tab; what formats without being seen (Cf: marks of direction, no-width characters, tags);
 * surrogates without a partner, which are no text at all (Cs); Unicode's own ends of lines and paragraphs (Zl, Zp).
 */
const UNSEEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Colours and weights, the only sequences the command line writes itself. */
// eslint-disable-next-line no-control-regex
const OWN_STYLE = /(\u001B\[(?:0|0;2|1|2|22|3[1-6]|39)m)/;

/** Shows what would not be seen as `\x1b`, `\u202e`. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (mark) => {
    const code = mark.codePointAt(0) ?? 0;
    if (code < 0x1_00) return `\\x${code.toString(16).padStart(2, '0')}`;
    return code > 0xff_ff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** The same for text that holds our own colours, which stay: a whole page, just before it is written. */
export function visiblePage(text: string): string {
  return text
    .split(OWN_STYLE)
    .map((part, index) => (index % 2 === 1 ? part : visible(part)))
    .join('');
}

/** The same for a line of JSON, which stays the same document. */
export function visibleJson(text: string): string {
  return text.replace(UNSEEN, (mark) =>
    Array.from({ length: mark.length }, (_, at) => `\\u${mark.charCodeAt(at).toString(16).padStart(4, '0')}`).join(''),
  );
}
