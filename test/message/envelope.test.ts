import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeEnvelope, encodeAttributes, encodeWire, type LogRow } from '../../src/message/envelope.ts';
import { isTraceparent } from '../../src/message/trace-context.ts';

const id = '0197a3c2-5b1e-7cc3-98c4-dc0c0c07398f';
const row: LogRow = {
  id,
  topic: 'order.placed',
  key: 'o-1',
  time: '2026-01-31T12:00:00.123456Z',
  payload: '{"total":5}',
  headers: '{"schemaversion":2}',
};
const wire = JSON.parse(encodeWire(row)) as Record<string, unknown>;
const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/** Whatever PostgreSQL can store: any Unicode but NUL and lone surrogates. */
const text = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 30, size: 'max' })
  .filter((value) => !value.includes('\0'));
const time = fc.date({ min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true });
const json = fc.jsonValue({ stringUnit: 'binary' });

describe('encodeWire and decodeEnvelope', () => {
  test('everything sent comes back', () => {
    const input = fc.record({
      id: fc.uuid(),
      topic: text,
      key: fc.option(text),
      time,
      payload: json,
      version: fc.integer({ min: 1, max: 9 }),
      source: fc.option(text),
      correlationId: fc.option(text),
      causationId: fc.option(text),
      trace: fc.option(fc.constantFrom('vendor=1', null)),
      headers: fc.dictionary(text, text, { maxKeys: 5 }),
      replayId: fc.option(fc.uuid()),
      predecessor: fc.option(
        fc.record({ id: fc.uuid(), at: time, sentAt: fc.option(time), followedAt: fc.option(time) }),
      ),
      relaySource: fc.option(text),
    });
    fc.assert(
      fc.property(input, fc.constantFrom(0, 1), (sent, spaces) => {
        const { trace, predecessor } = sent;
        const attributes = encodeAttributes({
          ...sent,
          traceparent: trace === null ? null : traceparent,
          tracestate: trace,
        });
        const sentWire = encodeWire(
          {
            id: sent.id,
            topic: sent.topic,
            key: sent.key,
            time: sent.time.toISOString(),
            payload: JSON.stringify(sent.payload),
            // jsonb prints with spaces.
            headers: JSON.stringify(attributes, null, spaces),
          },
          {
            replayId: sent.replayId ?? undefined,
            predecessor:
              predecessor === null
                ? undefined
                : { id: predecessor.id, at: predecessor.at.toISOString(), sentAt: predecessor.sentAt?.toISOString() },
            sentAt: predecessor?.followedAt?.toISOString(),
            source: sent.relaySource ?? undefined,
          },
        );
        const expected = {
          id: sent.id,
          topic: sent.topic,
          key: sent.key,
          source: sent.source ?? sent.relaySource ?? 'holdfast',
          time: sent.time,
          version: sent.version,
          correlationId: sent.correlationId,
          causationId: sent.causationId,
          traceparent: trace === null ? null : traceparent,
          tracestate: trace,
          headers: sent.headers,
          replayId: sent.replayId,
          predecessor,
          data: JSON.parse(JSON.stringify(sent.payload)) as unknown,
        };
        expect(decodeEnvelope(sentWire)).toEqual(expected);
        expect(decodeEnvelope(JSON.parse(sentWire))).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  test('the wire is the documented one', () => {
    const attributes = encodeAttributes({
      version: 2,
      source: 'orders',
      correlationId: 'c',
      causationId: 'd',
      traceparent,
      tracestate: 'v=1',
      headers: { tenant: 'x' },
    });
    const extra = { replayId: 'r', predecessor: { id, at: '2026-01-31T11:00:00Z' } };
    expect(encodeWire({ ...row, headers: JSON.stringify(attributes) }, extra)).toBe(
      '{"specversion":"1.0","holdfast":1,"schemaversion":2,"source":"orders","correlationid":"c","causationid":"d",' +
        `"traceparent":"${traceparent}","tracestate":"v=1","headers":{"tenant":"x"},"id":"${id}","type":"order.placed","subject":"o-1",` +
        `"time":"2026-01-31T12:00:00.123456Z","datacontenttype":"application/json","replayid":"r","predecessorid":"${id}","predecessorat":"2026-01-31T11:00:00Z","data":{"total":5}}`,
    );
    expect(encodeWire({ ...row, key: null, headers: '{}' })).toBe(
      `{"specversion":"1.0","holdfast":1,"source":"holdfast","id":"${id}","type":"order.placed",` +
        '"time":"2026-01-31T12:00:00.123456Z","datacontenttype":"application/json","data":{"total":5}}',
    );
  });

  test('a user header named source is not the source', () => {
    const headers = '{"headers": {"source": "x"}, "schemaversion": 1}';
    expect(decodeEnvelope(encodeWire({ ...row, headers }, { source: 'orders' }))).toMatchObject({
      source: 'orders',
      headers: { source: 'x' },
    });
  });

  test('an attribute of the row cannot replace the columns', () => {
    const headers = '{"id":"x","type":"other","data":1,"schemaversion":1}';
    expect(decodeEnvelope(encodeWire({ ...row, headers }))).toMatchObject({
      id,
      topic: 'order.placed',
      data: { total: 5 },
    });
  });
});

test('attributes that are no object make an envelope that can be read as far as refusing it', () => {
  // The table does not forbid them to writers that go round its functions, and what is no JSON would stop a queue for good.
  for (const headers of ['[1]', '"a{b}c"', '5', 'true']) {
    const sent = encodeWire({ ...row, headers });
    expect(() => decodeEnvelope(sent)).toThrow(
      expect.objectContaining({ code: 'HF_ENVELOPE_INVALID', details: { attribute: 'headers' } }),
    );
    expect(JSON.parse(sent)).toMatchObject({ id, type: 'order.placed', source: 'holdfast' });
  }
});

describe('decodeEnvelope', () => {
  test.each<[string, unknown]>([
    ['specversion', '0.3'],
    ['specversion', undefined],
    ['holdfast', undefined],
    ['holdfast', 0],
    ['holdfast', '1'],
    ['id', 'o-1'],
    ['id', undefined],
    ['type', undefined],
    ['type', ''],
    ['source', undefined],
    ['source', ''],
    ['subject', 5],
    ['subject', ''],
    ['time', undefined],
    ['time', 'yesterday'],
    ['time', '2026-01-31'],
    ['time', '2026-13-31T12:00:00Z'],
    ['time', 5],
    ['schemaversion', 0],
    ['schemaversion', '1'],
    ['schemaversion', null],
    ['correlationid', 5],
    ['causationid', {}],
    ['traceparent', 5],
    ['headers', { a: 1 }],
    ['headers', ['a']],
    ['headers', 'a'],
    ['replayid', 5],
    ['predecessorid', 'x'],
    ['predecessorid', { id }],
    ['datacontenttype', 'text/xml'],
    ['data', undefined],
  ])('names the attribute %s when it is %j', (name, value) => {
    const broken = { ...wire, [name]: value };
    if (value === undefined) delete broken[name];
    for (const form of [broken, JSON.stringify(broken)]) {
      expect(() => decodeEnvelope(form)).toThrowError(
        expect.objectContaining({ code: 'HF_ENVELOPE_INVALID', message: expect.stringContaining(name) }),
      );
    }
  });

  test.each([undefined, 'x', 5])('needs a time beside a predecessor, not %j', (at) => {
    expect(() => decodeEnvelope({ ...wire, predecessorid: id, predecessorat: at })).toThrowError(
      expect.objectContaining({ code: 'HF_ENVELOPE_INVALID', message: expect.stringContaining('predecessorat') }),
    );
  });

  test.each(['', 'x', '[]', 'null', '5', undefined, null, 5, []])('%j is no envelope', (value) => {
    expect(() => decodeEnvelope(value)).toThrowError(expect.objectContaining({ code: 'HF_ENVELOPE_INVALID' }));
  });

  test('a later wire version is told apart, with what to do, whatever else has changed', () => {
    expect(() => decodeEnvelope({ specversion: '1.0', holdfast: 2 })).toThrowError(
      expect.objectContaining({ code: 'HF_ENVELOPE_VERSION', message: expect.stringContaining('consumers first') }),
    );
  });

  test('unknown attributes are ignored; absent ones have defaults', () => {
    const event = {
      specversion: '1.0',
      holdfast: 1,
      id: id.toUpperCase(),
      type: 'a',
      source: 's',
      time: '2026-01-31T12:00:00+01:00',
      data: null,
      comexampleother: 1,
    };
    expect(decodeEnvelope(event)).toEqual({
      id,
      topic: 'a',
      key: null,
      source: 's',
      time: new Date('2026-01-31T11:00:00Z'),
      version: 1,
      correlationId: null,
      causationId: null,
      traceparent: null,
      tracestate: null,
      headers: {},
      replayId: null,
      predecessor: null,
      data: null,
    });
  });

  test('never throws anything but its own errors', () => {
    const known = Object.keys(wire).concat('headers', 'predecessorid', 'traceparent');
    const damaged = fc
      .tuple(fc.constantFrom(...known), fc.anything())
      .map(([name, value]) => Object.assign({}, wire, { [name]: value }));
    fc.assert(
      fc.property(fc.oneof(damaged, fc.anything(), fc.string()), (value) => {
        let code = 'none';
        try {
          decodeEnvelope(value);
        } catch (error) {
          code = (error as { code?: string }).code ?? String(error);
        }
        expect(['none', 'HF_ENVELOPE_INVALID', 'HF_ENVELOPE_VERSION']).toContain(code);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('encodeAttributes', () => {
  test('leaves out what is absent', () => {
    expect(encodeAttributes({ version: 1 })).toEqual({ schemaversion: 1 });
    expect(encodeAttributes({ version: 1, source: null, correlationId: undefined, headers: {} })).toEqual({
      schemaversion: 1,
    });
  });

  test.each<[object, string, string]>([
    [{ source: '' }, 'HF_CONFIG', 'source'],
    [{ correlationId: 5 }, 'HF_CONFIG', 'correlationid'],
    [{ causationId: 'a\0' }, 'HF_PAYLOAD_TEXT', 'causationid'],
    [{ source: 'x'.repeat(20_000) }, 'HF_PAYLOAD_TOO_LARGE', 'source'],
    [{ headers: { '': 'x' } }, 'HF_CONFIG', 'empty name'],
    [{ headers: { tenant: 5 } }, 'HF_CONFIG', 'tenant'],
    [{ headers: { tenant: '\ud800' } }, 'HF_PAYLOAD_TEXT', 'tenant'],
    [{ headers: { 'a\0': 'x' } }, 'HF_PAYLOAD_TEXT', 'name of a header'],
    [{ headers: { a: 'x'.repeat(9000), b: '\u20ac'.repeat(3000) } }, 'HF_PAYLOAD_TOO_LARGE', '16384'],
  ])('%j is refused', (input, code, place) => {
    expect(() => encodeAttributes({ version: 1, ...input })).toThrowError(
      expect.objectContaining({ code, message: expect.stringContaining(place) }),
    );
  });

  test('a malformed trace context is dropped, never a reason to refuse a message', () => {
    expect(encodeAttributes({ version: 1, traceparent: 'junk', tracestate: 'v=1' })).toEqual({ schemaversion: 1 });
    expect(encodeAttributes({ version: 1, traceparent, tracestate: 'v=\n' })).toEqual({
      schemaversion: 1,
      traceparent,
    });
    for (const [length, kept] of [
      [512, 512],
      [513, undefined],
    ] as const)
      expect(decodeEnvelope({ ...wire, traceparent, tracestate: 'v'.repeat(length) }).tracestate?.length).toBe(kept);
    expect(decodeEnvelope({ ...wire, traceparent: 'junk', tracestate: 'v=1' })).toMatchObject({
      traceparent: null,
      tracestate: null,
    });
  });

  test.each([
    [traceparent, true],
    [`${traceparent}-x`, false],
    [`cc${traceparent.slice(2)}-what-comes-later`, true],
    [`ff${traceparent.slice(2)}`, false],
    [traceparent.toUpperCase(), false],
    ['00-00000000000000000000000000000000-00f067aa0ba902b7-01', false],
    ['00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01', false],
    ['', false],
  ])('traceparent %s: %s', (value, expected) => {
    expect(isTraceparent(value)).toBe(expected);
  });
});
