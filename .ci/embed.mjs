/**
 * A step of the build: puts what belongs to the code but lies in files beside it into the code itself, so that an application that is
 * bundled into one file has it: the migrations, the schema they make, the page of the dashboard, the version.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const textOf = (...path) => readFileSync(join(root, ...path), 'utf8');
const textsBelow = (folder, isWanted) =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && isWanted(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted()
    .map((path) => [relative(join(root, folder), path).replaceAll('\\', '/'), readFileSync(path, 'utf8')]);

embed(
  'postgres/shipped-migrations.js',
  'export async function shippedMigrations()',
  'The migrations that this package ships, by file name. From migrations/.',
  `new Map(${JSON.stringify(
    textsBelow('migrations', (name) => name.endsWith('.sql')),
    null,
    2,
  )})`,
);
embed(
  'postgres/shipped-schema.js',
  'export async function shippedSchema()',
  'What the migrations of this package make. From migrations/expected-schema.json.',
  JSON.stringify(textOf('migrations/expected-schema.json')),
);
embed(
  'dashboard/server/shipped-page.js',
  'export function shippedPage()',
  'The files of the page, by their path.',
  `new Map(${JSON.stringify(
    textsBelow('dist/dashboard/page', (name) => !name.endsWith('.md')),
    null,
    2,
  )})`,
);
embed(
  'runtime/version.js',
  'export function packageVersion()',
  'Of this package.',
  JSON.stringify(JSON.parse(textOf('package.json')).version),
);

/** Writes the module anew, with its one function `said`, which gives what the `expression` is. */
function embed(file, said, what, expression) {
  const target = join(root, 'dist', file);
  if (!readFileSync(target, 'utf8').includes(said)) throw new Error(`${target} has no line "${said}" any more.`);
  writeFileSync(
    target,
    `/** ${what} Made by the build. */\nconst SHIPPED = ${expression};\n\n${said} {\n  return SHIPPED;\n}\n`,
  );
}
