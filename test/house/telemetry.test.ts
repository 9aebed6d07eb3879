/** docs/telemetry.md lists the spans that the code makes, and their attributes, all of them and no others. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SpanKind } from '@opentelemetry/api';
import { expect, it } from 'vitest';
import { SPAN_ATTRIBUTES, SPAN_EVENTS, SPANS } from '../../src/runtime/spans.ts';
import { ROOT, sourceFiles } from './source-files.ts';

const page = readFileSync(join(ROOT, 'docs/telemetry.md'), 'utf8');
const quoted = (text: string): readonly string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);

it('the documented spans are those of the code', () => {
  const listed = [...page.matchAll(/^\| `(\w+ \{\w+\})` \| (\w+) \| (.*) \|$/gm)].map(([, name, kind, attributes]) => ({
    name,
    kind,
    attributes: quoted(attributes ?? ''),
  }));
  const made = Object.values(SPANS).map(({ name, kind, attributes }) => ({
    name,
    kind: SpanKind[kind].toLowerCase(),
    attributes,
  }));
  expect(listed).toEqual(made);
});

it('the documented attributes are those of the code, and each stands in a span', () => {
  const listed = [...page.matchAll(/^\| `([a-z_.]+)` \| (.*) \|$/gm)].map(([, name, what]) => [name, what]);
  expect(listed).toEqual(Object.entries(SPAN_ATTRIBUTES));
  const used = new Set(Object.values(SPANS).flatMap(({ attributes }) => [...attributes] as string[]));
  expect(used).toEqual(new Set(Object.keys(SPAN_ATTRIBUTES)));
});

it('the documented events are those of the code', () => {
  for (const [name, { of, attributes }] of Object.entries(SPAN_EVENTS)) {
    const [line = ''] = new RegExp(`^The event \`${name}\` of \`${of}\`.*`, 'm').exec(page) ?? [];
    expect(quoted(line).slice(2, 2 + attributes.length)).toEqual(attributes);
  }
});

it('spans are made in one place, which takes their names from the table', () => {
  const makers = sourceFiles('src').filter(({ code }) => /\.startSpan\(|startActiveSpan/.test(code));
  expect(makers.map(({ path }) => path)).toEqual(['src/runtime/telemetry.ts']);
});
