/** Arrays in the binary format, as the server understands them. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { float8Array, int4Array, jsonArray, uuidArray } from '../../src/postgres/binary-array.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.drop());

/** The elements as the server shows them. */
async function seen(type: string, parameter: Buffer): Promise<readonly (string | null)[]> {
  const { rows } = await test.pool.query<{ element: string | null }>(
    `SELECT element::text FROM unnest($1::${type}[]) WITH ORDINALITY AS u (element, place) ORDER BY place`,
    [parameter],
  );
  return rows.map(({ element }) => element);
}

it('are taken for what was given', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uuid(), { maxLength: 20, size: 'max' }),
      fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { maxLength: 20, size: 'max' }),
      fc.array(fc.option(fc.double({ noNaN: true }), { freq: 3 }), { maxLength: 20, size: 'max' }),
      fc.array(fc.json({ stringUnit: 'binary' }), { maxLength: 20, size: 'max' }),
      async (ids, ints, doubles, texts) => {
        expect(await seen('uuid', uuidArray(ids))).toEqual(ids.map((id) => id.toLowerCase()));
        expect(await seen('int', int4Array(ints))).toEqual(ints.map(String));
        const back = (await seen('double precision', float8Array(doubles))).map((each) =>
          each === null ? null : Number(each),
        );
        expect(back).toEqual(doubles);
        expect(await seen('json', jsonArray(texts))).toEqual(texts);
      },
    ),
    { numRuns: 30 },
  );
});

it('may be empty', async () => {
  for (const [type, parameter] of Object.entries({ uuid: uuidArray([]), int: int4Array([]), json: jsonArray([]) }))
    expect(await seen(type, parameter)).toEqual([]);
});

it('are refused as a whole when one element is no JSON, and the connection lives on', async () => {
  await expect(seen('json', jsonArray(['{"a":1}', '{']))).rejects.toMatchObject({ code: '22P02' });
  const id = randomUUID();
  expect(await seen('uuid', uuidArray([id]))).toEqual([id]);
});
