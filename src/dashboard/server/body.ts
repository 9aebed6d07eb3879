/**
 * What a request brings, read up to a limit: what is larger is refused before it is in memory.
 */
import { RequestRefusal } from './failure.ts';

/** Rejects with RequestRefusal for what is larger than `mostBytes`, and for a body that somebody has read before. */
export async function readBody(request: Request, mostBytes: number): Promise<string> {
  const announced = Number(request.headers.get('content-length') ?? 0);
  if (announced > mostBytes) throw tooLarge(mostBytes);
  if (request.bodyUsed) throw readBefore();
  const reader = request.body?.getReader();
  if (reader === undefined) return '';
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    // Part by part, by its nature.
    // oxlint-disable-next-line no-await-in-loop
    const { done, value } = (await reader.read()) as { done: boolean; value: Uint8Array | undefined };
    if (done || value === undefined) break;
    bytes += value.byteLength;
    if (bytes > mostBytes) {
      // Not waited for: what it cancels may never answer.
      void reader.cancel().catch(() => undefined);
      throw tooLarge(mostBytes);
    }
    parts.push(value);
  }
  if (announced > 0 && bytes === 0) throw readBefore();
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts));
  } catch {
    throw new RequestRefusal(400, 'HF_REQUEST', 'The body is no UTF-8.');
  }
}

/** Of a form or of JSON. Throws RequestRefusal. */
export function readForm(text: string, contentType: string): unknown {
  if (!contentType.startsWith('application/x-www-form-urlencoded')) return parseJson(text);
  return Object.fromEntries(new URLSearchParams(text));
}

/** Nothing is nothing. Throws RequestRefusal. */
export function parseJson(text: string): unknown {
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // What the parser says quotes what was sent.
    throw new RequestRefusal(400, 'HF_REQUEST', 'The body is no JSON.', {
      advice: 'Send JSON, with `content-type: application/json`.',
    });
  }
}

function tooLarge(mostBytes: number): RequestRefusal {
  return new RequestRefusal(413, 'HF_REQUEST', `The body has more than ${mostBytes} bytes.`, {
    advice: 'Send less, or use the command line.',
    headers: { connection: 'close' },
  });
}

function readBefore(): RequestRefusal {
  return new RequestRefusal(400, 'HF_REQUEST', 'The body was read before it came to the dashboard.', {
    advice: 'Mount the dashboard before what parses bodies (express.json()).',
  });
}
