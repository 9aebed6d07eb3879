/**
 * The parts of a JSON text, as the texts that they are: parsed and written again, numbers that JavaScript cannot hold would be others.
 * The texts are known to be valid.
 */

/** The elements of an array. */
export function elementsOf(text: string): readonly string[] {
  return partsOf(text).map(([start, end]) => text.slice(start, end).trim());
}

/** The members of an object, by their order. */
export function membersOf(text: string): readonly (readonly [name: string, value: string])[] {
  return partsOf(text).map(([start, end, colon]) => [
    JSON.parse(text.slice(start, colon)) as string,
    text.slice(colon + 1, end).trim(),
  ]);
}

/** The object with other texts for some of its members. */
export function objectText(members: readonly (readonly [name: string, value: string])[]): string {
  return `{${members.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`;
}

/** Where the parts between the outermost brackets begin and end, and where their first colon is. */
function partsOf(text: string): readonly (readonly [start: number, end: number, colon: number])[] {
  const parts: (readonly [number, number, number])[] = [];
  let depth = 0;
  let start = -1;
  let colon = -1;
  const close = (end: number): void => {
    if (text.slice(start, end).trim() !== '') parts.push([start, end, colon]);
    [start, colon] = [end + 1, -1];
  };
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at];
    if (sign === '"') at = lastOfText(text, at);
    else if (sign === '{' || sign === '[') {
      depth += 1;
      if (depth === 1) start = at + 1;
    } else if (sign === '}' || sign === ']') {
      depth -= 1;
      if (depth === 0) close(at);
    } else if (depth === 1 && sign === ',') close(at);
    else if (depth === 1 && sign === ':' && colon < 0) colon = at;
  }
  return parts;
}

/** The place of the quote that ends the text which begins at `start`. */
function lastOfText(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}
