/**
 * The last step of the build: puts the texts of migrations/ into dist/postgres/shipped-migrations.js and shipped-schema.js, so that an
 * application that is bundled into one file can migrate and check its schema.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

const folder = new URL('../migrations/', import.meta.url);
const texts = readdirSync(folder)
  .filter((file) => file.endsWith('.sql'))
  .toSorted()
  .map((file) => [file, readFileSync(new URL(file, folder), 'utf8')]);

embed(
  'shipped-migrations.js',
  'export async function shippedMigrations()',
  (said) => `/** The migrations that this package ships, by file name. Made by the build from migrations/. */
const TEXTS = ${JSON.stringify(texts, null, 2)};

${said} {
  return new Map(TEXTS);
}
`,
);
embed(
  'shipped-schema.js',
  'export async function shippedSchema()',
  (said) => `/** What the migrations of this package make. Made by the build from migrations/expected-schema.json. */
const TEXT = ${JSON.stringify(readFileSync(new URL('expected-schema.json', folder), 'utf8'))};

${said} {
  return TEXT;
}
`,
);

/** @param {string} file @param {string} said the line of its one function @param {(said: string) => string} write its whole text */
function embed(file, said, write) {
  const target = new URL(`../dist/postgres/${file}`, import.meta.url);
  if (!readFileSync(target, 'utf8').includes(said))
    throw new Error(`${target.pathname} has no line "${said}" any more.`);
  writeFileSync(target, write(said));
  rmSync(new URL(`${target.href}.map`), { force: true });
}
