/** What a request brings: read up to a limit, whatever it says of its length, and taken for what it says that it is. */
import { describe, expect, it } from 'vitest';
import { parseJson, readBody, readForm } from '../../src/dashboard/server/body.ts';
import { checked } from '../../src/dashboard/server/api-route.ts';
import { reason, text } from '../../src/dashboard/server/parameters.ts';

const post = (body: string | Uint8Array | ReadableStream, headers: Readonly<Record<string, string>> = {}): Request =>
  new Request('http://dash.test/', { method: 'POST', body, headers, duplex: 'half' });
/** Comes part by part, and says nothing of its length. */
const parts = (...texts: readonly (string | Uint8Array)[]) =>
  ReadableStream.from(texts.map((each) => (typeof each === 'string' ? new TextEncoder().encode(each) : each)));

describe('a body', () => {
  it('is read whole, characters that are split between parts included', async () => {
    const [head, tail] = [Uint8Array.of(0xc3), Uint8Array.of(0xbc)];
    expect(await readBody(post(parts('gr', head, tail, 'n')), 100)).toBe('grün');
    expect(await readBody(post('12345'), 5)).toBe('12345');
  });

  it.each([
    ['that says so', post('123456', { 'content-length': '6' })],
    ['that says nothing', post(parts('123', '456'))],
    ['that says less', post(parts('123', '456') as never, { 'content-length': '2' })],
    ['that goes on and on', post(parts(...Array.from({ length: 200 }, () => '12')))],
  ])('that is larger than it may be is refused: one %s', async (_, request) => {
    await expect(readBody(request, 5)).rejects.toMatchObject({ status: 413 });
  });

  it('that is no UTF-8, or that somebody has read before, is refused', async () => {
    await expect(readBody(post(Uint8Array.of(0xff)), 5)).rejects.toMatchObject({ status: 400 });
    const read = post('1');
    await read.text();
    await expect(readBody(read, 5)).rejects.toMatchObject({ status: 400 });
  });

  it('is a form or JSON, and an error does not quote it', () => {
    expect(readForm('token=a+b', 'application/x-www-form-urlencoded; charset=utf-8')).toEqual({ token: 'a b' });
    expect(readForm('{"token":"a"}', 'application/json')).toEqual({ token: 'a' });
    expect(parseJson(' ')).toEqual({});
    expect(() => parseJson('{"token": secret')).toThrow(/no JSON/);
    expect(() => parseJson('{"token": secret')).not.toThrow(/secret/);
  });
});

describe('what stands in a request', () => {
  it('is a reason only if it says something', () => {
    for (const given of ['', '  ', '\n\t', undefined, 7, 'x'.repeat(2_001)])
      expect(() => checked(reason, given, 'The body')).toThrow();
    expect(checked(reason, ' because ', 'The body')).toBe('because');
  });

  it('is no text that the database cannot hold', () => {
    expect(() => checked(text, 'a\u0000b', 'The query')).toThrow(/no text in the database/);
    expect(checked(text, 'grün', 'The query')).toBe('grün');
  });
});
