/**
 * What the Kafka transport decides without a cluster.
 */
import { describe, expect, it } from 'vitest';
import { outbound } from '../../../src/testing/transport/kit.ts';
import { faultOf, protocolCode } from '../../../src/transport/kafka/kafka-error.ts';
import { dividedChunk } from '../../../src/transport/kafka/kafka-transport.ts';
import { byTopic, type PlacedRecord, recordChunks, recordOf } from '../../../src/transport/kafka/record.ts';

const placed = (index: number, topic = 'a', bytes = 1): PlacedRecord => ({
  topic,
  record: { value: String(index) },
  index,
  bytes,
});
const indexes = (parts: Iterable<readonly PlacedRecord[]>): readonly (readonly number[])[] =>
  [...parts].map((part) => part.map(({ index }) => index));

describe('chunks', () => {
  it('have all records in their order, and no more bytes than a broker takes at once', () => {
    const half = 256 * 1024;
    const records = [half, half, 1, half * 4, half, half - 1, 1, 1].map((bytes, index) => placed(index, 'a', bytes));
    expect(indexes(recordChunks(records))).toEqual([[0, 1], [2], [3], [4, 5, 6], [7]]);
    expect(indexes(recordChunks([]))).toEqual([]);
    const many = Array.from({ length: 2_001 }, (_, index) => placed(index));
    expect(indexes(recordChunks(many)).map(({ length }) => length)).toEqual([1_000, 1_000, 1]);
  });

  it('are sent by topic, each in the order of the batch', () => {
    const records = ['a', 'b', 'a'].map((topic, index) => placed(index, topic));
    expect(byTopic(records)).toEqual([
      { topic: 'a', messages: [{ value: '0' }, { value: '2' }] },
      { topic: 'b', messages: [{ value: '1' }] },
    ]);
  });

  it('that are refused are divided: by topics, then in halves, until one message or one topic is at fault', () => {
    const two = ['a', 'b', 'a'].map((topic, index) => placed(index, topic));
    expect(indexes(dividedChunk(two, 'message', 2))).toEqual([[0, 2], [1]]);
    expect(indexes(dividedChunk(two, 'topic', 2))).toEqual([[0, 2], [1]]);
    const one = [0, 1, 2].map((index) => placed(index));
    expect(indexes(dividedChunk(one, 'message', 1))).toEqual([[0, 1], [2]]);
    expect(indexes(dividedChunk(one.slice(0, 2), 'message', 1))).toEqual([[0], [1]]);
    for (const rest of [one.slice(0, 1), one]) {
      const [part, ...more] = dividedChunk(rest, rest.length === 1 ? 'message' : 'topic', 1);
      expect([part === rest, more]).toEqual([true, []]);
    }
  });
});

describe('a record in binary form', () => {
  const record = (wire: string) => recordOf(outbound('a', 1, { wire, key: 'k' }), 'binary');
  it('has the payload as it was written, and the attributes as headers', () => {
    expect(record('{"specversion":"1.0","id":"i","data":9007199254740993}')).toEqual({
      key: 'k',
      value: '9007199254740993',
      headers: { 'content-type': 'application/json', ce_specversion: '1.0', ce_id: 'i' },
    });
  });

  it("lets no header of the sender take an attribute's place", () => {
    const own = '{"ce_id":"forged","content-type":"text/html","tenant":"acme"}';
    expect(record(`{"id":"i","datacontenttype":"x","headers":${own},"data":{}}`).headers).toEqual({
      'content-type': 'application/json',
      ce_id: 'i',
      header_ce_id: 'forged',
      'header_content-type': 'text/html',
      tenant: 'acme',
    });
  });

  it('is refused for what is no envelope', () => {
    for (const wire of ['[]', '{"no":"data"}', '{x}'])
      expect(() => record(wire)).toThrow(expect.objectContaining({ code: 'HF_MESSAGE_REFUSED' }));
  });
});

describe('an error', () => {
  const protocol = (code: number): Error => Object.assign(new Error('refused'), { code });
  it('is read inside of what kafkajs wraps it in', () => {
    const wrapped = Object.assign(new Error('retries'), { originalError: protocol(10), cause: new Error('other') });
    expect([protocolCode(wrapped), protocolCode(new Error('outer', { cause: wrapped }))]).toEqual([10, 10]);
    expect([protocolCode(Object.assign(new Error('x'), { code: 'ECONNREFUSED' })), protocolCode('x')]).toEqual([
      null,
      null,
    ]);
  });

  it('is about a message, a topic or the cluster', () => {
    const kinds = (...codes: readonly number[]) => [...new Set(codes.map((code) => faultOf(protocol(code))))];
    expect(kinds(10, 18, 32, 87)).toEqual(['message']);
    expect(kinds(3, 17, 29, 44)).toEqual(['topic']);
    // NOT_LEADER, REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS, and what nobody knows.
    expect(kinds(5, 6, 7, 19, 20, 999)).toEqual(['cluster']);
    expect(faultOf(new Error('no code'))).toBe('cluster');
  });
});
