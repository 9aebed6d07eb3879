/**
 * The last step of the build: puts the texts of migrations/ into dist/postgres/shipped-migrations.js, so that an application that
 * is bundled into one file can migrate and check its schema.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

const folder = new URL('../migrations/', import.meta.url);
const target = new URL('../dist/postgres/shipped-migrations.js', import.meta.url);
const texts = readdirSync(folder)
  .filter((file) => file.endsWith('.sql'))
  .toSorted()
  .map((file) => [file, readFileSync(new URL(file, folder), 'utf8')]);
const said = 'export async function shippedMigrations()';
if (!readFileSync(target, 'utf8').includes(said)) throw new Error(`${target.pathname} has no line "${said}" any more.`);
writeFileSync(
  target,
  `/** The migrations that this package ships, by file name. Made by the build from migrations/. */
const TEXTS = ${JSON.stringify(texts, null, 2)};

${said} {
  return new Map(TEXTS);
}
`,
);
rmSync(new URL(`${target.href}.map`), { force: true });
